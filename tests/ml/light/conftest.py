"""Fixtures of the light path: one database per module (to make the indexes takes longer than most of these tests)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from sandbox.mongod import Mongod
from tests.ml.light.places import Places
from tests.ml.plain_models import shared_database


@pytest.fixture(scope="module")
def module_db(mongod: Mongod) -> Iterator[Database[dict[str, Any]]]:
    with shared_database(mongod) as database:
        yield database


@pytest.fixture
def db(module_db: Database[dict[str, Any]]) -> Database[dict[str, Any]]:
    """The module's database with its indexes, emptied."""
    for name in module_db.list_collection_names():
        module_db[name].delete_many({})
    return module_db


@pytest.fixture
def places(db: Database[dict[str, Any]], tmp_path: Path) -> Places:
    return Places(db, tmp_path / "cache")
