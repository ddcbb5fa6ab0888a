"""A real HTTP server on 127.0.0.1 that answers what a test scripts, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HOLD_LIMIT_S = 20.0


@dataclass
class Reply:
    """One scripted answer. `late` holds it back until the server is closed; `drop` hangs up without one."""

    status: int = 200
    body: bytes = b""
    content_type: str | None = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    late: bool = False
    drop: bool = False
    trickle: bool = False


def as_json(data: object, status: int = 200, **headers: str) -> Reply:
    return Reply(status, json.dumps(data).encode(), headers={k.replace("_", "-"): v for k, v in headers.items()})


@dataclass
class Asked:
    """One request that the server received."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class LoopbackServer:
    """`script(*replies)` queues answers for any path; `routes[path]` answers always."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.routes: dict[str, Reply] = {}
        self._queue: deque[Reply] = deque()
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def script(self, *replies: Reply) -> None:
        self._queue.extend(replies)

    def close(self) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _next(self, asked: Asked) -> Reply:
        with self._lock:
            self.asked.append(asked)
            if self._queue:
                return self._queue.popleft()
        return self.routes.get(asked.path, Reply(404, content_type=None))

    def _handler(outer) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                asked = Asked(self.command, self.path, dict(self.headers), self.rfile.read(length))
                reply = outer._next(asked)
                if reply.late:
                    outer._released.wait(HOLD_LIMIT_S)
                    return
                if reply.drop:
                    return
                self.send_response(reply.status)
                if reply.content_type:
                    self.send_header("content-type", reply.content_type)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                if not reply.trickle:
                    self.send_header("content-length", str(len(reply.body)))
                self.end_headers()
                if reply.trickle:
                    self._trickle()
                    return
                self.wfile.write(reply.body)

            def _trickle(self) -> None:
                try:
                    while not outer._released.wait(0.02):
                        self.wfile.write(b" ")
                        self.wfile.flush()
                except OSError:
                    return

            do_GET = do_POST = do_PUT = _answer

            def log_message(self, *args: object) -> None:
                return

        return Handler


@contextmanager
def loopback() -> Iterator[LoopbackServer]:
    server = LoopbackServer()
    try:
        yield server
    finally:
        server.close()
