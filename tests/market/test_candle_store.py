"""The candle store against a real MongoDB."""

from __future__ import annotations

import gzip
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pymongo
import pytest
from pymongo.database import Database

from include.errors import BadInputError, ServiceUnavailableError
from include.market.candle_store import CandleStore, MergeCounts
from include.market.candles import Candles
from tests.market.series import HOUR_MS, START_MS, assert_same, make_candles, replaced

Db = Database[dict[str, Any]]


@pytest.mark.critical
def test_what_is_stored_comes_back_bit_by_bit_and_only_once(db: Db) -> None:
    store, candles = CandleStore(db), make_candles(500, without=[17])
    assert store.upsert(candles) == 499
    assert store.upsert(candles) == 0
    assert_same(store.load("BTCUSDT", "1h"), candles)
    assert db.candles.count_documents({}) == 499


def test_documents_have_the_documented_types(db: Db) -> None:
    CandleStore(db).upsert(make_candles(3))
    query = {
        "open_time": {"$type": "long"},
        "symbol": "BTCUSDT",
        "timeframe": "1h",
        **{name: {"$type": "double"} for name in ("open", "high", "low", "close", "volume")},
    }
    assert db.candles.count_documents(query) == 3
    assert set(db.candles.find_one() or {}) == {*query, "_id"}


def test_a_changed_bar_is_corrected_and_counted(db: Db) -> None:
    store, candles = CandleStore(db), make_candles(10)
    store.merge(candles.between(end_ms=START_MS + 8 * HOUR_MS))
    changed = replaced(candles, "volume", 3, 12345.5)
    assert store.merge(changed) == MergeCounts(inserted=2, corrected=1, unchanged=7)
    assert_same(store.load("BTCUSDT", "1h"), changed)


def test_overlapping_pieces_in_any_order_make_the_same_series(db: Db) -> None:
    store, candles = CandleStore(db), make_candles(300)
    rng = np.random.default_rng(3)
    starts = rng.permutation(np.arange(0, 300, 20))
    inserted = sum(
        store.upsert(candles.between(START_MS + int(s) * HOUR_MS, START_MS + int(s + 35) * HOUR_MS)) for s in starts
    )
    assert inserted == 300
    assert_same(store.load("BTCUSDT", "1h"), candles)


def test_load_is_limited_to_its_range_symbol_and_timeframe(db: Db) -> None:
    store = CandleStore(db)
    candles = make_candles(48)
    for other in (make_candles(48, symbol="ETHUSDT"), make_candles(48, timeframe="15m"), candles):
        store.upsert(other)
    start_ms, end_ms = START_MS + 5 * HOUR_MS, START_MS + 9 * HOUR_MS
    assert_same(store.load("BTCUSDT", "1h", start_ms, end_ms), candles.between(start_ms, end_ms))
    assert_same(store.load("BTCUSDT", "1h", end_ms=end_ms), candles.between(end_ms=end_ms))
    assert len(store.load("SOLUSDT", "1h")) == 0


def test_last_open_time(db: Db) -> None:
    store = CandleStore(db)
    assert store.last_open_time("BTCUSDT", "1h") is None
    store.upsert(make_candles(48))
    store.upsert(make_candles(90, symbol="ETHUSDT"))
    assert store.last_open_time("BTCUSDT", "1h") == START_MS + 47 * HOUR_MS


@pytest.mark.parametrize(
    ("field", "value"), [("close", np.nan), ("high", np.inf), ("low", 0.0), ("open", -1.0), ("volume", -1.0)]
)
def test_untrue_numbers_are_refused_and_nothing_is_written(db: Db, field: str, value: float) -> None:
    with pytest.raises(BadInputError, match="Corrupt data: BTCUSDT 1h candle of 2024-01-01T04:00"):
        CandleStore(db).upsert(replaced(make_candles(10), field, 4, value))
    assert db.candles.count_documents({}) == 0


def test_duplicated_candle_is_refused(db: Db) -> None:
    with pytest.raises(BadInputError, match="a duplicate"):
        CandleStore(db).upsert(replaced(make_candles(10), "open_time", 4, START_MS + 3 * HOUR_MS))
    assert db.candles.count_documents({}) == 0


SPOILED = [{"$set": {"close": float("nan")}}, {"$set": {"low": 0}}, {"$set": {"high": None}},
           {"$unset": {"open": 1}}, {"$set": {"volume": "many"}}]  # fmt: skip


@pytest.mark.parametrize("change", SPOILED)
def test_stored_numbers_that_somebody_spoiled_are_refused_on_load_and_corrected_by_a_merge(
    db: Db, change: dict[str, Any]
) -> None:
    store, candles = CandleStore(db), make_candles(10)
    store.upsert(candles)
    db.candles.update_one({"open_time": START_MS + 4 * HOUR_MS}, change)
    with pytest.raises(BadInputError, match=r"Corrupt data: .*BTCUSDT 1h.*ingest that range again"):
        store.load("BTCUSDT", "1h")
    assert store.merge(candles) == MergeCounts(inserted=0, corrected=1, unchanged=9)
    assert_same(store.load("BTCUSDT", "1h"), candles)


@pytest.mark.critical
def test_many_symbols_come_with_one_query_and_are_what_each_alone_would_be(db: Db) -> None:
    store = CandleStore(db)
    for number, symbol in enumerate(("SOLUSDT", "BTCUSDT", "ETHUSDT")):
        store.upsert(make_candles(60, symbol=symbol, seed=number, without=[7 + number]))
    store.upsert(make_candles(60, symbol="BTCUSDT", timeframe="15m"))
    start_ms, end_ms = START_MS + 5 * HOUR_MS, START_MS + 50 * HOUR_MS
    found = store.load_many(["SOLUSDT", "NONEUSDT", "BTCUSDT", "SOLUSDT"], "1h", start_ms, end_ms)
    assert list(found) == ["BTCUSDT", "NONEUSDT", "SOLUSDT"]
    for symbol, candles in found.items():
        assert isinstance(candles, Candles)
        assert_same(candles, store.load(symbol, "1h", start_ms, end_ms))
    assert store.load_many([], "1h") == {}
    with pytest.raises(BadInputError, match="Invalid timeframe: '1d'"):
        store.load_many(["BTCUSDT"], "1d")


def test_load_many_does_not_depend_on_the_order_of_the_documents(db: Db) -> None:
    store, candles = CandleStore(db), make_candles(120)
    for position in np.random.default_rng(5).permutation(120).tolist():
        store.upsert(candles.between(START_MS + position * HOUR_MS, START_MS + (position + 1) * HOUR_MS))
    found = store.load_many(["BTCUSDT"], "1h")["BTCUSDT"]
    assert isinstance(found, Candles)
    assert_same(found, candles)


@pytest.mark.parametrize("change", SPOILED)
def test_a_spoiled_symbol_fails_alone_among_many_and_says_what_load_says(db: Db, change: dict[str, Any]) -> None:
    store = CandleStore(db)
    for symbol in ("BTCUSDT", "ETHUSDT"):
        store.upsert(make_candles(10, symbol=symbol))
    db.candles.update_one({"symbol": "BTCUSDT", "open_time": START_MS + 4 * HOUR_MS}, change)
    found = store.load_many(["BTCUSDT", "ETHUSDT"], "1h")
    assert isinstance(found["ETHUSDT"], Candles)
    with pytest.raises(BadInputError) as alone:
        store.load("BTCUSDT", "1h")
    assert str(found["BTCUSDT"]) == str(alone.value)


def test_unknown_timeframe_is_refused(db: Db) -> None:
    with pytest.raises(BadInputError, match="Invalid timeframe: '1d'"):
        CandleStore(db).load("BTCUSDT", "1d")


def test_two_writers_at_once_store_every_bar_once(db: Db) -> None:
    candles, barrier, inserted = make_candles(2_000), threading.Barrier(4), []

    def write() -> None:
        store = CandleStore(db)
        barrier.wait()
        inserted.append(store.upsert(candles))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(inserted) == 2_000
    assert len(inserted) == 4
    assert_same(CandleStore(db).load("BTCUSDT", "1h"), candles)


def test_a_bar_inserted_between_the_look_and_the_write_is_not_lost(db: Db) -> None:
    """The race of two writers, forced: the second one's insert meets the first one's document."""
    store, candles = CandleStore(db), make_candles(10)
    store.upsert(replaced(candles, "volume", 3, 5.0))
    documents = [{**document, "volume": 77.0} for document in db.candles.find({}, {"_id": 0}).limit(4)]
    raced = store._insert([*documents, {**documents[0], "symbol": "ETHUSDT"}])
    assert len(raced) == 4
    assert db.candles.count_documents({"symbol": "ETHUSDT"}) == 1
    db.candles.bulk_write(raced)
    assert db.candles.count_documents({"volume": 77.0, "symbol": "BTCUSDT"}) == 4


def test_mongodb_away_is_a_transient_error() -> None:
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
        "mongodb://127.0.0.1:1", serverSelectionTimeoutMS=100
    )
    store = CandleStore(client["nowhere"])
    with client:
        with pytest.raises(ServiceUnavailableError, match="storing candles of BTCUSDT 1h"):
            store.upsert(make_candles(3))
        with pytest.raises(ServiceUnavailableError, match="loading candles of BTCUSDT 1h"):
            store.load("BTCUSDT", "1h")
        with pytest.raises(ServiceUnavailableError, match="newest candle of BTCUSDT 1h"):
            store.last_open_time("BTCUSDT", "1h")
        with pytest.raises(ServiceUnavailableError, match="loading candles of 1 symbols, 1h"):
            store.load_many(["BTCUSDT"], "1h")


def test_real_candles_of_three_years_survive_the_round_trip(db: Db, market_data_dir: Path) -> None:
    with gzip.open(market_data_dir / "BTCUSDT_1h.csv.gz", "rt") as file:
        table = np.loadtxt(file, delimiter=",", skiprows=1)
    candles = Candles("BTCUSDT", "1h", table[:, 0].astype(np.int64), *(table[:, i].copy() for i in range(1, 6)))
    assert CandleStore(db).upsert(candles) == 26_303
    assert CandleStore(db).load("BTCUSDT", "1h").sha256() == candles.sha256()
