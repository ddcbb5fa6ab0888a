"""Ingestion from a Binance on loopback into a real MongoDB: complete, idempotent, only what is missing."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymongo.database import Database

from include.errors import BadInputError, MalformedAnswerError, ServiceUnavailableError
from include.market.binance import BinanceClient
from include.market.candle_store import CandleStore
from include.market.candles import Candles
from include.market.gaps import Gap
from include.market.ingest import ingest
from tests.market.binance_server import UNKNOWN_ERROR, Answer, FakeBinance
from tests.market.series import HOUR_MS, START_MS, assert_same, make_candles

Db = Database[dict[str, Any]]
KLINES = "/api/v3/klines"
DAYS = 60
BARS = DAYS * 24


@pytest.fixture
def series(binance: FakeBinance) -> Candles:
    """A hundred days on offer; it is 20 minutes past the last hour of the 60th."""
    candles = make_candles(100 * 24)
    binance.serve(candles)
    binance.now_ms = START_MS + BARS * HOUR_MS + 1_200_000
    return candles


def _ranges(binance: FakeBinance) -> list[tuple[int, int]]:
    """Return what klines were asked for, in bars since the start, end exclusive."""
    return [
        ((int(p["startTime"]) - START_MS) // HOUR_MS, (int(p["endTime"]) + 1 - START_MS) // HOUR_MS)
        for p in binance.asked(KLINES)
    ]


@pytest.mark.critical
def test_first_run_stores_all_closed_bars_and_a_second_one_asks_for_none(
    db: Db, binance: FakeBinance, client: BinanceClient, series: Candles
) -> None:
    store = CandleStore(db)
    report = ingest(client, store, "BTCUSDT", "1h", DAYS)
    assert (report.requested, report.present, report.fetched, report.inserted, report.corrected) == (
        BARS, BARS, BARS, BARS, 0,
    )  # fmt: skip
    assert (report.gaps, report.status) == ((), "TRADING")
    assert_same(store.load("BTCUSDT", "1h"), series.between(end_ms=START_MS + BARS * HOUR_MS))

    binance.requests.clear()
    again = ingest(client, store, "BTCUSDT", "1h", DAYS)
    assert (again.fetched, again.inserted, again.present) == (0, 0, BARS)
    assert not binance.asked(KLINES)


def test_later_run_fetches_only_the_new_bars(
    db: Db, binance: FakeBinance, client: BinanceClient, series: Candles
) -> None:
    store = CandleStore(db)
    ingest(client, store, "BTCUSDT", "1h", DAYS)
    binance.requests.clear()
    binance.now_ms += 3 * HOUR_MS
    report = ingest(client, store, "BTCUSDT", "1h", DAYS)
    assert (report.fetched, report.inserted, report.present) == (3, 3, BARS)
    assert _ranges(binance) == [(BARS, BARS + 3)]
    assert report.last_open_time_ms == START_MS + (BARS + 2) * HOUR_MS


def test_more_days_fetch_only_the_head(db: Db, binance: FakeBinance, client: BinanceClient, series: Candles) -> None:
    store = CandleStore(db)
    ingest(client, store, "BTCUSDT", "1h", 7)
    binance.requests.clear()
    report = ingest(client, store, "BTCUSDT", "1h", 10)
    assert (report.fetched, report.present) == (72, 240)
    assert _ranges(binance) == [(BARS - 240, BARS - 168)]


def test_inner_gaps_of_the_store_are_filled_one_by_one(
    db: Db, binance: FakeBinance, client: BinanceClient, series: Candles
) -> None:
    store = CandleStore(db)
    ingest(client, store, "BTCUSDT", "1h", DAYS)
    db.candles.delete_many({"open_time": {"$in": [START_MS + n * HOUR_MS for n in (100, 101, 700)]}})
    binance.requests.clear()
    report = ingest(client, store, "BTCUSDT", "1h", DAYS)
    assert (report.fetched, report.inserted, report.present) == (3, 3, BARS)
    assert _ranges(binance) == [(100, 102), (700, 701)]


def test_outage_of_the_exchange_is_reported_and_only_its_range_is_asked_for_again(
    db: Db, binance: FakeBinance, client: BinanceClient
) -> None:
    binance.serve(make_candles(100 * 24, without=range(500, 507)))
    binance.now_ms = START_MS + BARS * HOUR_MS
    store = CandleStore(db)
    outage = Gap(START_MS + 500 * HOUR_MS, START_MS + 507 * HOUR_MS, 7)
    assert ingest(client, store, "BTCUSDT", "1h", DAYS).gaps == (outage,)
    binance.requests.clear()
    report = ingest(client, store, "BTCUSDT", "1h", DAYS)
    assert (report.gaps, report.fetched, report.present) == ((outage,), 0, BARS - 7)
    assert _ranges(binance) == [(500, 507)]


def test_symbol_listed_later_than_the_days_asked_for(db: Db, binance: FakeBinance, client: BinanceClient) -> None:
    binance.serve(make_candles(24 * 10, start_ms=START_MS + 50 * 24 * HOUR_MS))
    binance.now_ms = START_MS + BARS * HOUR_MS
    report = ingest(client, CandleStore(db), "BTCUSDT", "1h", DAYS)
    assert (report.requested, report.present) == (BARS, 240)
    assert report.gaps == (Gap(START_MS, START_MS + 1_200 * HOUR_MS, 1_200),)
    assert report.first_open_time_ms == START_MS + 1_200 * HOUR_MS


def test_symbol_without_any_candle(db: Db, binance: FakeBinance, client: BinanceClient) -> None:
    binance.serve(make_candles(0))
    binance.now_ms = START_MS
    report = ingest(client, CandleStore(db), "BTCUSDT", "1h", 7).to_dict()
    assert (report["present"], report["missing_pct"], report["first_open_time"]) == (0, 100.0, None)


def test_failure_on_the_second_page_keeps_the_first_one(
    db: Db, binance: FakeBinance, client: BinanceClient, series: Candles
) -> None:
    store = CandleStore(db)
    first_page = Answer(body=binance.rows["BTCUSDT", "1h"][:1_000])
    binance.answer_next(KLINES, first_page, *[Answer(502, UNKNOWN_ERROR)] * 4)
    with pytest.raises(ServiceUnavailableError):
        ingest(client, store, "BTCUSDT", "1h", DAYS)
    assert len(store.load("BTCUSDT", "1h")) == 1_000
    binance.requests.clear()
    assert ingest(client, store, "BTCUSDT", "1h", DAYS).inserted == BARS - 1_000
    assert _ranges(binance) == [(1_000, BARS)]


def test_page_with_an_untrue_number_is_not_stored(
    db: Db, binance: FakeBinance, client: BinanceClient, series: Candles
) -> None:
    binance.rows["BTCUSDT", "1h"][1_200][4] = "NaN"
    with pytest.raises(MalformedAnswerError, match="BTCUSDT 1h kline of 2024-02-20T00:00"):
        ingest(client, CandleStore(db), "BTCUSDT", "1h", DAYS)
    assert db.candles.count_documents({"close": float("nan")}) == 0
    assert db.candles.count_documents({}) == 1_000


def test_spoiled_stored_bar_is_fetched_again_and_corrected(
    db: Db, binance: FakeBinance, client: BinanceClient, series: Candles
) -> None:
    store = CandleStore(db)
    ingest(client, store, "BTCUSDT", "1h", DAYS)
    db.candles.update_one({"open_time": START_MS + 700 * HOUR_MS}, {"$set": {"close": -1.0}})
    report = ingest(client, store, "BTCUSDT", "1h", DAYS)
    assert (report.corrected, report.inserted, report.present) == (1, 0, BARS)
    assert_same(store.load("BTCUSDT", "1h"), series.between(end_ms=START_MS + BARS * HOUR_MS))


def test_unknown_symbol_is_refused_before_any_candle_is_asked_for(
    db: Db, binance: FakeBinance, client: BinanceClient, series: Candles
) -> None:
    with pytest.raises(BadInputError, match=r"^Invalid symbol: NOPEUSDT "):
        ingest(client, CandleStore(db), "NOPEUSDT", "1h", DAYS)
    assert not binance.asked(KLINES)
    assert db.candles.count_documents({}) == 0


@pytest.mark.parametrize("days", [0, -3, 1_101])
def test_days_out_of_range_are_refused_before_any_question(
    db: Db, binance: FakeBinance, client: BinanceClient, days: int
) -> None:
    with pytest.raises(BadInputError, match=f"days is {days}"):
        ingest(client, CandleStore(db), "BTCUSDT", "1h", days)
    assert not binance.requests


def test_report_is_plain_json(db: Db, binance: FakeBinance, client: BinanceClient, series: Candles) -> None:
    report = ingest(client, CandleStore(db), "BTCUSDT", "1h", 7).to_dict()
    assert json.loads(json.dumps(report)) == report
    assert (report["first_open_time"], report["last_open_time"]) == (
        "2024-02-23T00:00:00+00:00",
        "2024-02-29T23:00:00+00:00",
    )


def test_real_candles_with_the_exchanges_outage_of_march_2023(
    db: Db, binance: FakeBinance, client: BinanceClient, market_data_dir: Path
) -> None:
    with gzip.open(market_data_dir / "BTCUSDT_1h.csv.gz", "rt") as file:
        table = np.loadtxt(file, delimiter=",", skiprows=1)
    real = Candles("BTCUSDT", "1h", table[:, 0].astype(np.int64), *(table[:, i].copy() for i in range(1, 6)))
    binance.serve(real)
    outage_ms = 1_679_662_800_000  # 2023-03-24 13:00 UTC
    binance.now_ms = outage_ms + 10 * 24 * HOUR_MS
    store = CandleStore(db)
    report = ingest(client, store, "BTCUSDT", "1h", 365)
    assert report.gaps == (Gap(outage_ms, outage_ms + HOUR_MS, 1),)
    assert (report.requested, report.present) == (8_760, 8_759)
    assert_same(store.load("BTCUSDT", "1h"), real.between(binance.now_ms - 365 * 24 * HOUR_MS, binance.now_ms))
