"""A door to a sink that a test may close: connections are refused then, as where no service is."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sandbox.kit.ports import HOST

CHUNK = 65_536


class Relay:
    """Passes connections of its port on to another port of this host, in threads of its own."""

    def __init__(self) -> None:
        self._holder = _bound(0)  # never listens: nothing else gets the port while the door is closed
        self.port: int = self._holder.getsockname()[1]
        self._leads_to = 0

    def lead_to(self, port: int) -> None:
        """Open the door, to that port."""
        self._leads_to = port
        self._open()

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Refuse every new connection for a while."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept
        self._listener.close()
        self._acceptor.join()
        try:
            yield
        finally:
            self._open()

    def _open(self) -> None:
        self._listener = _bound(self.port)
        self._listener.listen()
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def _accept(self) -> None:
        with suppress(OSError):  # the door was closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.create_connection((HOST, self._leads_to)) as server:
            back = threading.Thread(target=_copy, args=(server, client), daemon=True)
            back.start()
            _copy(client, server)
            back.join()


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind((HOST, port))
    return bound


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(CHUNK):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
