"""One database for all tests of this package, emptied before each of them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pymongo
import pytest
from bson.codec_options import CodecOptions
from pymongo.database import Database

from include.store.collections import ensure_indexes
from sandbox.mongod import Mongod


@pytest.fixture(scope="session")
def notify_database(mongod: Mongod) -> Iterator[Database[dict[str, Any]]]:
    with pymongo.MongoClient[dict[str, Any]](mongod.uri, serverSelectionTimeoutMS=5000) as client:
        name = f"test_notify_{uuid.uuid4().hex[:8]}"
        database = client.get_database(name, codec_options=CodecOptions(tz_aware=True))
        ensure_indexes(database)
        yield database
        client.drop_database(name)


@pytest.fixture
def db(notify_database: Database[dict[str, Any]]) -> Database[dict[str, Any]]:
    for name in notify_database.list_collection_names():
        notify_database[name].delete_many({})
    return notify_database
