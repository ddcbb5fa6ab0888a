"""Listening sockets on the loopback address."""

from __future__ import annotations

import socket

HOST = "127.0.0.1"


def listen(port: int) -> socket.socket:
    """Return a socket that listens on a port of 127.0.0.1 (0: any free one).

    :raises OSError: when the port is taken; the message names it.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"port {port} of {HOST} cannot be used ({error.strerror}): choose another") from None
    listener.listen(128)
    return listener
