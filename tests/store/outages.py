"""A MongoDB that is away: nobody listens, or a server of a test's own that can die, hang and come back."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pymongo
import pytest
from bson.codec_options import CodecOptions
from pymongo import WriteConcern, monitoring
from pymongo.database import Database

from sandbox.mongod import Mongod, free_port, start_mongod

Db = Database[dict[str, Any]]
SELECTION_MS = 300
TIMEOUTS = (
    "include.store.durable.TIMEOUT_S",
    "include.notify.channel_state.MONGO_TIMEOUT_S",
    "include.audit.collect.TIMEOUT_S",
)


@contextlib.contextmanager
def impatient(timeout_s: float = 0.3) -> Iterator[None]:
    """Notice at once, in this block, that MongoDB is away; the driver tries again until the time is over.

    Only what meets the outage belongs in the block: on a busy machine a MongoDB that is there may take longer.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in TIMEOUTS:
            patch.setattr(name, timeout_s)
        yield


class Outage(monitoring.CommandListener):
    """Kills (SIGKILL) the server when the n-th write command is sent to it: the write may or may not have arrived."""

    def __init__(self, server: MortalMongod, at_write: int) -> None:
        self.server, self.left = server, at_write

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name in ("insert", "update", "findAndModify"):
            self.left -= 1
            if self.left == 0:
                self.server.kill()

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...

    def failed(self, event: monitoring.CommandFailedEvent) -> None: ...


class MortalMongod:
    """A mongod in a folder of its own, on one port through all its lives."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._clients: list[pymongo.MongoClient[dict[str, Any]]] = []
        self.start()

    def start(self) -> None:
        self.server: Mongod = start_mongod(self.folder, self.port)

    def kill(self) -> None:
        os.kill(self.server.process.pid, signal.SIGKILL)
        self.server.process.wait(20)

    def hang(self) -> None:
        os.kill(self.server.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.server.process.pid, signal.SIGCONT)

    def db(self, *listeners: monitoring.CommandListener) -> Db:
        """Return the database as the bundle opens it: majority, journaled, aware times."""
        client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
            f"mongodb://127.0.0.1:{self.port}", serverSelectionTimeoutMS=SELECTION_MS, event_listeners=listeners
        )
        self._clients.append(client)
        return client.get_database(
            "trading_ops", codec_options=CodecOptions(tz_aware=True), write_concern=WriteConcern(w="majority", j=True)
        )

    def __enter__(self) -> MortalMongod:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for client in self._clients:
            client.close()
        if self.server.process.poll() is None:
            self.go_on()
        self.server.stop()


@functools.cache
def nowhere() -> Db:
    """Return a database on a port where nobody listens."""
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
        f"mongodb://127.0.0.1:{free_port()}", serverSelectionTimeoutMS=50
    )
    return client.get_database("trading_ops")
