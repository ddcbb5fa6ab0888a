"""Settings for all four channels at the sinks; a mongod that a test may kill."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest

from include.settings import Settings
from sandbox.control import Control
from sandbox.launcher import Sandbox
from sandbox.mongod import Mongod, start_mongod


@pytest.fixture
def channels(sandbox: Sandbox, control: Control, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """Settings for all four channels at the sinks, which are empty; the connections are set."""
    assert control.messages() == []
    for name, value in sandbox.env.items():
        if name.startswith(("AIRFLOW_CONN_", "TRADING_OPS_")):
            monkeypatch.setenv(name, value)
    return Settings(state_dir=tmp_path / "state", notifications_enabled=True)


class OwnMongod:
    """A mongod that a test may kill; it comes back on its port, with its data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.server = start_mongod(folder)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        return self.server.process

    def restart(self) -> Mongod:
        self.server = start_mongod(self._folder, self.server.port)
        return self.server


@pytest.fixture
def mongod_of_its_own(tmp_path: Path) -> Iterator[tuple[OwnMongod, pymongo.MongoClient[dict[str, Any]]]]:
    own = OwnMongod(tmp_path / "mongod")
    with pymongo.MongoClient[dict[str, Any]](own.server.uri, serverSelectionTimeoutMS=1000, tz_aware=True) as client:
        yield own, client
    own.server.stop()
