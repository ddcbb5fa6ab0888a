"""The cache of answers, in a real MongoDB and a real Redis: expiry, strangers' values, and outages that hurt nobody."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pymongo
import pytest
from pydantic import SecretStr
from pymongo.database import Database
from redis import Redis

from include.errors import ConfigurationError
from include.settings import Settings
from include.store.collections import RESULT_CACHE
from include.store.result_cache import KEY_PREFIX, MongoCache, RedisCache, ResultCache, result_cache
from tests.store.redis_server import running_redis
from tests.store.waiting import eventually

Db = Database[dict[str, Any]]
ANSWER = {"symbol": "BTCUSDT", "confidence": 0.87, "models": [{"id": "a", "edge": None}], "n": 3, "cached": False}
KEYS = ("bulk-1:lstm:BTCUSDT:1h=run:lstm", "other")


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(params=["mongodb", "redis"])
def cache(request: pytest.FixtureRequest, db: Db) -> ResultCache:
    if request.param == "mongodb":
        return MongoCache(db)
    url = request.getfixturevalue("redis_url")
    with Redis.from_url(url) as redis:
        redis.flushall()
    return RedisCache(url)


def test_what_is_kept_comes_back_as_it_was_and_the_rest_is_a_miss(cache: ResultCache) -> None:
    assert cache.get_many(KEYS) == {}
    cache.put_many({KEYS[0]: ANSWER}, 300)
    assert cache.get_many(KEYS) == {KEYS[0]: ANSWER}
    cache.put_many({KEYS[0]: {**ANSWER, "n": 4}, KEYS[1]: {}}, 300)
    assert cache.get_many(KEYS) == {KEYS[0]: {**ANSWER, "n": 4}, KEYS[1]: {}}
    assert cache.get_many([]) == {}
    cache.put_many({}, 300)


def test_an_answer_expires_and_nothing_is_kept_for_no_time(cache: ResultCache) -> None:
    cache.put_many({KEYS[1]: ANSWER}, 0)
    assert cache.get_many(KEYS) == {}
    cache.put_many({KEYS[0]: ANSWER}, 1)
    assert cache.get_many(KEYS)
    eventually(lambda: not cache.get_many(KEYS))


def test_many_answers_at_once(cache: ResultCache) -> None:
    values = {f"key{number}": {**ANSWER, "n": number} for number in range(300)}
    cache.put_many(values, 60)
    assert cache.get_many(list(values)) == values


def test_values_like_operators_and_field_paths_are_only_values(cache: ResultCache) -> None:
    strange = {"$add": ["$$NOW", 1], "a.b": "$value", "nested": {"$literal": {"x": "$$ROOT"}}}
    cache.put_many({"$strange.key": strange}, 60)
    assert cache.get_many(["$strange.key"]) == {"$strange.key": strange}


def test_mongodb_passes_over_what_has_expired_before_the_index_removes_it(db: Db) -> None:
    cache = MongoCache(db)
    cache.put_many(dict.fromkeys(KEYS, ANSWER), 300)
    past = datetime.now(UTC) - timedelta(seconds=1)
    db[RESULT_CACHE].update_one({"_id": KEYS[0]}, {"$set": {"expires_at": past}})
    assert set(cache.get_many(KEYS)) == {KEYS[1]}
    indexes = db[RESULT_CACHE].index_information().values()
    assert any(index.get("expireAfterSeconds") == 0 and index["key"] == [("expires_at", 1)] for index in indexes)


def test_redis_lets_answers_expire_by_itself_and_passes_over_strangers_values(redis_url: str) -> None:
    cache = RedisCache(redis_url)
    cache.put_many({KEYS[0]: ANSWER}, 300)
    with Redis.from_url(redis_url) as redis:
        assert 290 < redis.ttl(KEY_PREFIX + KEYS[0]) <= 300
        redis.set(KEY_PREFIX + "a", b"\xff\x00 no JSON")
        redis.set(KEY_PREFIX + "b", b"[1, 2]")
    assert cache.get_many(["a", "b"]) == {}


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name == "include.store.result_cache"]


def test_a_mongodb_that_is_away_is_a_miss_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with pymongo.MongoClient[dict[str, Any]]("mongodb://127.0.0.1:1", serverSelectionTimeoutMS=50) as client:
        cache = MongoCache(client["nowhere"])
        for _ in range(3):
            assert cache.get_many(KEYS) == {}
            cache.put_many({KEYS[0]: ANSWER}, 300)
    assert len(warnings_of(caplog)) == 1


def test_a_redis_that_is_away_is_a_miss_said_once_and_without_its_password(caplog: pytest.LogCaptureFixture) -> None:
    cache = RedisCache("redis://:opensesame@127.0.0.1:1/0")
    for _ in range(3):
        cache.put_many({KEYS[0]: ANSWER}, 300)
        assert cache.get_many(KEYS) == {}
    (said,) = warnings_of(caplog)
    assert "opensesame" not in said


def test_a_redis_that_hangs_costs_one_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.store.result_cache.REDIS_TIMEOUT_S", 0.1)
    connections = []
    with socket.create_server(("127.0.0.1", 0)) as silent:

        def accept() -> None:
            try:
                while True:
                    connections.append(silent.accept()[0])
            except OSError:
                return

        threading.Thread(target=accept, daemon=True).start()
        cache = RedisCache(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        for _ in range(20):
            assert cache.get_many(KEYS) == {}
        asked = len(connections)
        cache.put_many({KEYS[0]: ANSWER}, 300)
        assert len(connections) == asked, "after a failure it is left alone"
    for connection in connections:
        connection.close()


def test_the_settings_choose(db: Db, tmp_path: Path) -> None:
    assert isinstance(result_cache(db, Settings(redis_url=None)), MongoCache)
    assert isinstance(result_cache(db, Settings(redis_url=SecretStr("redis://127.0.0.1:1/0"))), RedisCache)
    with pytest.raises(ConfigurationError, match="TRADING_OPS_REDIS_URL is no address") as refused:
        result_cache(db, Settings(redis_url=SecretStr("http://:opensesame@127.0.0.1/")))
    assert "opensesame" not in str(refused.value)
