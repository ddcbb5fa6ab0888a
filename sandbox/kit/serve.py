"""Run a stand-in as a process: its command line, its socket, its end.

A process gets its listening socket either as a port (`--port`) or, from the launcher, as an inherited
file descriptor (`--fd`): the launcher then knows the port before the process exists, and no other
program can take it in between. With `--end-with-parent` the process ends when its standard input is
closed, that is when whoever started it is gone, however it went.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from sandbox.kit.app import TRANSPORT_KEY
from sandbox.kit.ports import HOST, listen

GRACE_S = 1


async def _with_transport(app: ASGIApp, transport: Any, scope: Scope, receive: Receive, send: Send) -> None:
    scope[TRANSPORT_KEY] = transport
    await app(scope, receive, send)


class _Protocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """Uvicorn's protocol, showing the application its connection so that a behaviour can drop it."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.app: Any = partial(_with_transport, self.app, transport)


def parser(description: str) -> argparse.ArgumentParser:
    """Return the command line that every stand-in has."""
    arguments = argparse.ArgumentParser(description=description)
    arguments.add_argument("--port", type=int, default=0, help="TCP port on 127.0.0.1 (default: any free one)")
    arguments.add_argument("--fd", type=int, help="inherited listening socket, instead of --port")
    arguments.add_argument("--end-with-parent", action="store_true", help="end when standard input is closed")
    return arguments


def serve(name: str, app: ASGIApp, options: argparse.Namespace, announce: Callable[[str], None] = print) -> None:
    """Serve until SIGTERM, SIGINT or, with `--end-with-parent`, the end of standard input."""
    listener = socket.socket(fileno=options.fd) if options.fd is not None else listen(options.port)
    url = f"http://{HOST}:{listener.getsockname()[1]}"
    announce(f"sandbox {name}: {url}")
    sys.stdout.flush()
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = uvicorn.Server(config)
    asyncio.run(_serve(server, listener, options.end_with_parent))


async def _serve(server: uvicorn.Server, listener: socket.socket, end_with_parent: bool) -> None:
    if end_with_parent:
        loop = asyncio.get_running_loop()
        descriptor = sys.stdin.fileno()

        def ended() -> None:
            loop.remove_reader(descriptor)
            server.should_exit = True

        loop.add_reader(descriptor, ended)
    await server.serve(sockets=[listener])
