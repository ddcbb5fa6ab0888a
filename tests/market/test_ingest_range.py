"""Candles of a range of time: completed like the newest days, by the exchange's clock."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo.database import Database

from include.errors import BadInputError, ServiceUnavailableError
from include.market.binance import BinanceClient
from include.market.candle_store import CandleStore
from include.market.candles import Candles
from include.market.gaps import Gap
from include.market.ingest import ingest, ingest_range
from include.market.timeframes import MAX_RANGE_BARS
from tests.market.binance_server import UNKNOWN_ERROR, Answer, FakeBinance
from tests.market.series import HOUR_MS, START_MS, assert_same, make_candles

Db = Database[dict[str, Any]]
KLINES = "/api/v3/klines"
BARS = 100 * 24


def hour(number: int) -> int:
    return START_MS + number * HOUR_MS


@pytest.fixture
def series(binance: FakeBinance) -> Candles:
    """A hundred days on offer; it is 20 minutes past the last hour."""
    candles = make_candles(BARS)
    binance.serve(candles)
    binance.now_ms = hour(BARS) + 1_200_000
    return candles


def asked(binance: FakeBinance) -> list[tuple[int, int]]:
    """Return what klines were asked for, in bars since the start, end exclusive."""
    return [
        ((int(p["startTime"]) - START_MS) // HOUR_MS, (int(p["endTime"]) + 1 - START_MS) // HOUR_MS)
        for p in binance.asked(KLINES)
    ]


def test_a_range_of_the_past_is_fetched_once_and_nothing_around_it(
    db: Db, binance: FakeBinance, client: BinanceClient, series: Candles
) -> None:
    store = CandleStore(db)
    report = ingest_range(client, store, "BTCUSDT", "1h", hour(240), hour(480))
    assert (report.requested, report.present, report.inserted, report.gaps) == (240, 240, 240, ())
    assert (report.first_open_time_ms, report.last_open_time_ms) == (hour(240), hour(479))
    assert_same(store.load("BTCUSDT", "1h"), series.between(hour(240), hour(480)))

    binance.requests.clear()
    wider = ingest_range(client, store, "BTCUSDT", "1h", hour(230), hour(500))
    assert (wider.fetched, wider.present) == (30, 270)
    assert asked(binance) == [(230, 240), (480, 500)]


def test_what_the_newest_days_have_stored_is_not_fetched_again(
    db: Db, binance: FakeBinance, client: BinanceClient, series: Candles
) -> None:
    store = CandleStore(db)
    ingest(client, store, "BTCUSDT", "1h", 10)
    binance.requests.clear()
    report = ingest_range(client, store, "BTCUSDT", "1h", hour(BARS - 300), hour(BARS))
    assert (report.fetched, report.present) == (60, 300)
    assert asked(binance) == [(BARS - 300, BARS - 240)]


def test_outages_and_a_later_listing_stay_gaps_of_the_report(
    db: Db, binance: FakeBinance, client: BinanceClient
) -> None:
    binance.serve(make_candles(200, start_ms=hour(50), without=range(20, 27)))
    binance.now_ms = hour(BARS)
    report = ingest_range(client, CandleStore(db), "BTCUSDT", "1h", hour(0), hour(250))
    assert report.gaps == (Gap(hour(0), hour(50), 50), Gap(hour(70), hour(77), 7))
    assert (report.requested, report.present) == (250, 193)


def test_the_range_ends_with_the_exchanges_clock_and_not_with_ours(
    db: Db, binance: FakeBinance, client: BinanceClient, series: Candles
) -> None:
    store = CandleStore(db)
    assert ingest_range(client, store, "BTCUSDT", "1h", hour(BARS - 24), hour(BARS)).present == 24
    binance.requests.clear()
    with pytest.raises(BadInputError, match="by the exchange's clock it is 2024-04-10T00:20"):
        ingest_range(client, store, "BTCUSDT", "1h", hour(BARS - 24), hour(BARS + 1))
    assert not binance.asked(KLINES)


def test_a_failure_keeps_the_pages_before_it(
    db: Db, binance: FakeBinance, client: BinanceClient, series: Candles
) -> None:
    store = CandleStore(db)
    binance.answer_next(KLINES, Answer(body=binance.rows["BTCUSDT", "1h"][:1_000]), *[Answer(502, UNKNOWN_ERROR)] * 4)
    with pytest.raises(ServiceUnavailableError):
        ingest_range(client, store, "BTCUSDT", "1h", hour(0), hour(1_500))
    binance.requests.clear()
    assert ingest_range(client, store, "BTCUSDT", "1h", hour(0), hour(1_500)).inserted == 500
    assert asked(binance) == [(1_000, 1_500)]


@pytest.mark.parametrize(
    ("start_ms", "end_ms", "message"),
    [
        (hour(10), hour(10), "No candle of 1h lies between"),
        (hour(10), hour(9), "No candle of 1h lies between"),
        (-HOUR_MS, hour(9), "No candle of 1h lies between"),
        (hour(0) - (MAX_RANGE_BARS + 1) * HOUR_MS, hour(0), "340,001 candles of 1h, more than 340,000"),
    ],
)
def test_an_impossible_range_is_refused_before_any_question(
    db: Db, binance: FakeBinance, client: BinanceClient, start_ms: int, end_ms: int, message: str
) -> None:
    with pytest.raises(BadInputError, match=message):
        ingest_range(client, CandleStore(db), "BTCUSDT", "1h", start_ms, end_ms)
    assert not binance.requests
