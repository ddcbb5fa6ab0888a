"""A real Redis while a test needs it, on a private port and folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox.redis_server import start_redis


@contextmanager
def running_redis(folder: Path) -> Iterator[str]:
    """Serve on a free port of 127.0.0.1 until the context ends; yield the URL."""
    server = start_redis(folder)
    try:
        yield server.url
    finally:
        server.stop()
