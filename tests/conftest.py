"""Fixtures that every test may use: a real mongod, a clean database in it, the real candles."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest
from bson.codec_options import CodecOptions
from pymongo.database import Database
from xdist.scheduler import LoadFileScheduling

from sandbox.mongod import Mongod, start_mongod

REPOSITORY = Path(__file__).resolve().parent.parent

SHARED = ("tests/chain", "tests/watch")
"""Folders whose files share one running Airflow each."""
LONG = (*SHARED, "tests/ml/test_honesty.py", "tests/ops/test_embedded_slow.py", "tests/health", "tests/ml")
"""What takes longest begins first, so that nobody works alone at the end."""

pytest_plugins = ["tests.fixtures_sandbox"]


class ByFile(LoadFileScheduling):
    """Gives each file to one process when the tests run in parallel; files that share an Airflow stay together."""

    def _split_scope(self, nodeid: str) -> str:
        return next((room for room in SHARED if nodeid.startswith(f"{room}/")), super()._split_scope(nodeid))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest first; xdist is told to keep this order (`--no-loadscope-reorder`)."""

    def rank(item: pytest.Item) -> int:
        return next((at for at, name in enumerate(LONG) if item.nodeid.startswith(name)), len(LONG))

    items.sort(key=rank)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """Tell xdist how to share out the tests (its own groups do not work with this pytest)."""
    return ByFile(config, log)


@pytest.fixture(scope="session")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    """One real mongod for the session, on a private port."""
    server = start_mongod(tmp_path_factory.mktemp("mongod"))
    yield server
    server.stop()


@pytest.fixture
def db(mongod: Mongod) -> Iterator[Database[dict[str, Any]]]:
    """An empty database of its own, with the bundle's indexes; dropped afterwards."""
    from include.store.collections import ensure_indexes

    name = f"test_{uuid.uuid4().hex[:12]}"
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(mongod.uri, serverSelectionTimeoutMS=5000)
    database = client.get_database(name, codec_options=CodecOptions(tz_aware=True))
    ensure_indexes(database)
    yield database
    client.drop_database(name)
    client.close()


@pytest.fixture(scope="session")
def market_data_dir() -> Path:
    """The folder with the real candles, `MARKET_DATA_DIR` (default `../shared/data/klines`)."""
    folder = Path(os.environ.get("MARKET_DATA_DIR", REPOSITORY.parent / "shared" / "data" / "klines"))
    if not (folder / "BTCUSDT_1h.csv.gz").exists():
        pytest.skip(f"real candles are not at {folder}: set MARKET_DATA_DIR to run this test")
    return folder
