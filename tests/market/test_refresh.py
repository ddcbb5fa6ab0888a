"""Completing many symbols against a real HTTP server and a real MongoDB: only what is missing, each failure alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pymongo.database import Database

from include.errors import BadInputError, ConfigurationError, TransientError
from include.market.binance import BinanceClient
from include.market.candle_store import CandleStore
from include.market.refresh import GIVE_UP_AFTER, RefreshReport, refresh_many
from sandbox.mongod import Mongod
from tests.market.binance_server import TOO_MANY_REQUESTS, UNKNOWN_ERROR, Answer, FakeBinance
from tests.market.series import HOUR_MS, START_MS, assert_same, make_candles
from tests.ml.plain_models import shared_database

Db = Database[dict[str, Any]]
KLINES = "/api/v3/klines"
BARS, ALL = 50, 80
NOW_MS = START_MS + ALL * HOUR_MS + 1_800_000
FOUR = ("AUSDT", "BUSDT", "CUSDT", "DUSDT")
FIRST_MS = START_MS + (ALL - BARS) * HOUR_MS


@pytest.fixture(scope="module")
def shared(mongod: Mongod) -> Iterator[Db]:
    with shared_database(mongod) as db:
        yield db


@pytest.fixture
def db(shared: Db) -> Db:
    shared.candles.delete_many({})
    return shared


def serve(binance: FakeBinance, *symbols: str) -> None:
    for number, symbol in enumerate(symbols):
        binance.serve(make_candles(ALL + 1, symbol=symbol, seed=number))
    binance.now_ms = NOW_MS


def refresh(client: BinanceClient, db: Db, *symbols: str, **changes: Any) -> RefreshReport:
    terms: dict[str, Any] = {"concurrency": 4, "weight_per_minute": 3000, **changes}
    return refresh_many(client, CandleStore(db), symbols, "1h", BARS, **terms)


def asked(binance: FakeBinance) -> list[tuple[str, int, int]]:
    """Return symbol, first and last hour asked for, counted from the start of the series."""
    return sorted(
        (q["symbol"], (int(q["startTime"]) - START_MS) // HOUR_MS, (int(q["endTime"]) - START_MS) // HOUR_MS)
        for q in binance.asked(KLINES)
    )


def test_only_what_is_missing_is_asked_for(binance: FakeBinance, client: BinanceClient, db: Db) -> None:
    serve(binance, *FOUR)
    store = CandleStore(db)
    a, b, c, d = (make_candles(ALL + 1, symbol=symbol, seed=n) for n, symbol in enumerate(FOUR))
    end_ms = START_MS + ALL * HOUR_MS
    store.upsert(a.between(end_ms=end_ms))  # complete
    store.upsert(b.between(end_ms=end_ms - 3 * HOUR_MS))  # three bars behind
    store.upsert(c.between(end_ms - 10 * HOUR_MS, end_ms))  # its head is missing
    store.upsert(d.between(end_ms=START_MS + 20 * HOUR_MS))  # ended long before the span
    report = refresh(client, db, "DUSDT", "CUSDT", "BUSDT", "AUSDT", "AUSDT")
    head = ALL - BARS
    assert asked(binance) == [("BUSDT", ALL - 3, ALL - 1), ("CUSDT", head, ALL - 11), ("DUSDT", head, ALL - 1)]
    assert report.now_ms == NOW_MS
    assert report.current == {"AUSDT"}
    assert report.fetched == {"BUSDT": 3, "CUSDT": BARS - 10, "DUSDT": BARS}
    assert report.inserted == 3 + BARS - 10 + BARS
    assert report.failures == {}
    for series in (a, b, c, d):  # the unfinished candle is not stored
        assert_same(store.load(series.symbol, "1h", FIRST_MS), series.between(FIRST_MS, end_ms))


def test_a_second_refresh_asks_nothing_but_the_time(binance: FakeBinance, client: BinanceClient, db: Db) -> None:
    serve(binance, "AUSDT", "BUSDT")
    refresh(client, db, "AUSDT", "BUSDT")
    binance.requests.clear()
    report = refresh(client, db, "AUSDT", "BUSDT")
    assert [path for path, _ in binance.requests] == ["/api/v3/time"]
    assert report.current == {"AUSDT", "BUSDT"}
    assert report.inserted == 0


def test_a_given_time_is_the_one_that_closed_is_judged_by(binance: FakeBinance, client: BinanceClient, db: Db) -> None:
    serve(binance, "AUSDT")
    refresh(client, db, "AUSDT", now_ms=NOW_MS - 5 * HOUR_MS)
    assert CandleStore(db).last_open_time("AUSDT", "1h") == START_MS + (ALL - 6) * HOUR_MS
    assert not binance.asked("/api/v3/time")


def test_each_symbols_failure_is_its_own(binance: FakeBinance, client: BinanceClient, db: Db) -> None:
    serve(binance, "AUSDT", "BADUSDT", "ZUSDT")
    binance.rows["BADUSDT", "1h"][60][4] = "NaN"
    report = refresh(client, db, "AUSDT", "BADUSDT", "NONEUSDT", "ZUSDT")
    assert set(report.failures) == {"BADUSDT", "NONEUSDT"}
    assert "Invalid symbol: NONEUSDT" in report.failures["NONEUSDT"].reason
    assert not report.failures["NONEUSDT"].transient
    assert "NaN" in report.failures["BADUSDT"].reason
    assert report.failures["BADUSDT"].transient
    assert {symbol: count for symbol, count in report.fetched.items() if count} == {"AUSDT": BARS, "ZUSDT": BARS}
    assert CandleStore(db).load("BADUSDT", "1h").open_time.size == 0


def test_an_exchange_that_goes_away_is_not_asked_for_every_symbol(
    binance: FakeBinance, client: BinanceClient, waits: list[float], db: Db
) -> None:
    symbols = [f"S{number:02d}USDT" for number in range(30)]
    serve(binance, *symbols)
    binance.away.add(KLINES)
    report = refresh(client, db, *symbols, concurrency=2)
    assert set(report.failures) == set(symbols)
    assert all(failure.transient for failure in report.failures.values())
    questions = len({q["symbol"] for q in binance.asked(KLINES)})
    assert GIVE_UP_AFTER <= questions <= GIVE_UP_AFTER + 2, "those under way when it was noticed, and no more"
    assert "did not answer 3 times in a row" in report.failures[symbols[-1]].reason


def test_single_troubles_in_between_do_not_end_the_refresh(binance: FakeBinance, client: BinanceClient, db: Db) -> None:
    symbols = [f"S{number:02d}USDT" for number in range(12)]
    serve(binance, *symbols)
    for _ in range(3):  # four attempts in vain, then an answer, one thread: every other symbol fails
        binance.answer_next(KLINES, *[Answer(503, UNKNOWN_ERROR)] * 4, Answer(body=[]))
    report = refresh(client, db, *symbols, concurrency=1)
    assert len(report.failures) == 3
    assert len(report.fetched) == 12


def test_the_weight_of_many_symbols_is_spread_over_minutes(binance: FakeBinance, db: Db) -> None:
    now = [1_000_020.0 - 1_000_020.0 % 60]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    symbols = [f"S{number:02d}USDT" for number in range(30)]
    serve(binance, *symbols)
    with BinanceClient(binance.url, sleep=sleep, clock=lambda: now[0]) as client:
        report = refresh(client, db, *symbols, concurrency=1, weight_per_minute=20)
    assert report.failures == {}
    assert slept == [60.0, 60.0, 60.0], "1 for the time and 30 x 2 weight at 20 a minute"


def test_a_refusal_is_waited_for_and_costs_no_symbol(
    binance: FakeBinance, client: BinanceClient, waits: list[float], db: Db
) -> None:
    serve(binance, "AUSDT", "BUSDT", "CUSDT")
    binance.answer_next(KLINES, Answer(429, TOO_MANY_REQUESTS, headers={"Retry-After": "2"}))
    report = refresh(client, db, "AUSDT", "BUSDT", "CUSDT", concurrency=1)
    assert report.failures == {}
    assert max(waits) == pytest.approx(2.0, abs=0.1)


def test_an_address_that_is_not_binances_fails_the_whole(binance: FakeBinance, client: BinanceClient, db: Db) -> None:
    serve(binance, "AUSDT", "BUSDT")
    binance.answer_next(KLINES, *[Answer(451, "not here", "text/plain")] * 4)
    with pytest.raises(ConfigurationError, match="does not serve this region"):
        refresh(client, db, "AUSDT", "BUSDT")


def test_no_time_and_no_bars_are_refused(binance: FakeBinance, client: BinanceClient, db: Db) -> None:
    serve(binance, "AUSDT")
    with pytest.raises(BadInputError, match="bars is 0"):
        refresh_many(client, CandleStore(db), ["AUSDT"], "1h", 0, concurrency=1, weight_per_minute=100)
    with pytest.raises(BadInputError, match="Invalid timeframe"):
        refresh_many(client, CandleStore(db), ["AUSDT"], "1d", 5, concurrency=1, weight_per_minute=100)
    binance.away.add("/api/v3/time")
    with pytest.raises(TransientError):
        refresh(client, db, "AUSDT")
