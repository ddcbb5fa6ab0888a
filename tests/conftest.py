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
BEGIN_FIRST = (*SHARED, "tests/health", "tests/ml")
"""What takes longest begins first, so that nobody works alone at the end."""

pytest_plugins = ["tests.fixtures_sandbox"]

collect_ignore = [] if os.environ.get("STACK_TESTS") else ["stack"]
"""The distributed mode's tests take a machine for themselves: `make test-stack` asks for them."""


class ByFile(LoadFileScheduling):
    """Gives each file to one process when the tests run in parallel; files that share an Airflow stay together."""

    def _split_scope(self, nodeid: str) -> str:
        return next((room for room in SHARED if nodeid.startswith(f"{room}/")), super()._split_scope(nodeid))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest first; xdist is told to keep this order (`--no-loadscope-reorder`)."""

    def rank(item: pytest.Item) -> int:
        return next((at for at, name in enumerate(BEGIN_FIRST) if item.nodeid.startswith(name)), len(BEGIN_FIRST))

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


@pytest.fixture(scope="session")
def indexed_database(mongod: Mongod) -> Iterator[Database[dict[str, Any]]]:
    """One database for the session: to make the bundle's indexes takes longer than most tests that need them."""
    with pymongo.MongoClient[dict[str, Any]](mongod.uri, serverSelectionTimeoutMS=5000) as client:
        name = f"test_{uuid.uuid4().hex[:12]}"
        yield client.get_database(name, codec_options=CodecOptions(tz_aware=True))
        client.drop_database(name)


@pytest.fixture
def db(indexed_database: Database[dict[str, Any]]) -> Database[dict[str, Any]]:
    """An empty database with the bundle's indexes, whatever the test before has done to it."""
    from include.store.collections import INDEXES_MADE, META, ensure_indexes

    for name in used_collections(indexed_database):
        indexed_database[name].delete_many({"_id": {"$ne": INDEXES_MADE}} if name == META else {})
    ensure_indexes(indexed_database)
    return indexed_database


def used_collections(db: Database[dict[str, Any]]) -> list[str]:
    """Return the collections that hold something; one question instead of thirty."""
    parts = [
        {"$unionWith": {"coll": name, "pipeline": [{"$limit": 1}, {"$replaceWith": {"name": {"$literal": name}}}]}}
        for name in db.list_collection_names()
    ]
    return [found["name"] for found in db.aggregate([{"$documents": []}, *parts])]


def required(path: Path, what: str) -> Path:
    """Return the path of data that some tests need; where it is missing, skip the test.

    Where the variable `CI` is `true` the test fails instead: a pipeline that skips it would prove nothing.
    """
    if path.exists():
        return path
    reason = f"{what} are not at {path}: set MARKET_DATA_DIR to run this test"
    if os.environ.get("CI", "").strip().lower() == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def real_candles_folder() -> Path:
    """Return the folder with the real candles, `MARKET_DATA_DIR` (default `../shared/data/klines`)."""
    folder = Path(os.environ.get("MARKET_DATA_DIR") or REPOSITORY.parent / "shared" / "data" / "klines")
    return required(folder / "BTCUSDT_1h.csv.gz", "real candles").parent


@pytest.fixture(scope="session")
def market_data_dir() -> Path:
    """The folder with the real candles."""
    return real_candles_folder()
