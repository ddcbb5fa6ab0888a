"""A scripted OpenAI-compatible endpoint on loopback, settings that point to it, and a ledger with a clock."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pymongo
import pytest
from bson.codec_options import CodecOptions
from pydantic import SecretStr
from pymongo.database import Database

from include.analyst.ledger import CostLedger
from include.settings import Settings
from include.store.collections import ensure_indexes
from sandbox.mongod import Mongod
from tests.analyst.openai_answers import KEY
from tests.trading.engine_answers import NOW
from tests.trading.loopback import LoopbackServer, loopback


class Clock:
    """A clock that tests set."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **span: float) -> None:
        self.now += timedelta(**span)


@pytest.fixture(scope="session")
def analyst_database(mongod: Mongod) -> Iterator[Database[dict[str, Any]]]:
    """One database for all tests of this package: to make the indexes takes longer than most of these tests."""
    with pymongo.MongoClient[dict[str, Any]](mongod.uri, serverSelectionTimeoutMS=5000) as client:
        name = f"test_analyst_{uuid.uuid4().hex[:8]}"
        database = client.get_database(name, codec_options=CodecOptions(tz_aware=True))
        ensure_indexes(database)
        yield database
        client.drop_database(name)


@pytest.fixture
def db(analyst_database: Database[dict[str, Any]]) -> Database[dict[str, Any]]:
    """That database, emptied."""
    for name in analyst_database.list_collection_names():
        analyst_database[name].delete_many({})
    return analyst_database


@pytest.fixture
def openai_server() -> Iterator[LoopbackServer]:
    with loopback() as server:
        yield server


@pytest.fixture
def settings_with(openai_server: LoopbackServer) -> Callable[..., Settings]:
    def make(**changes: Any) -> Settings:
        values: dict[str, Any] = {
            "openai_api_key": SecretStr(KEY),
            "openai_base_url": f"{openai_server.url}/v1",
            "openai_model": "gpt-4o",
            "openai_timeout_s": 10.0,
            "gpt4_daily_budget_usd": 5.0,
            "gpt4_monthly_budget_usd": 100.0,
            "gpt4_calls_per_hour": 5,
            "retrain_min_confidence": 0.7,
        }
        return Settings(**{**values, **changes})

    return make


@pytest.fixture
def settings(settings_with: Callable[..., Settings]) -> Settings:
    return settings_with()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(db: Database[dict[str, Any]], settings: Settings, clock: Clock) -> CostLedger:
    return CostLedger(db, settings, clock)
