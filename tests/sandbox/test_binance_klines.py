"""Candles over the wire: paging, order, the unfinished one, the advanced clock."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import httpx
import pytest

from sandbox.control import Control, ControlError
from sandbox.launcher import Sandbox

HOUR = 3_600_000
BAR = {"5m": 300_000, "15m": 900_000, "1h": HOUR, "4h": 4 * HOUR}


@pytest.fixture
def binance(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox.urls["binance"] + "/api/v3", trust_env=False, verify=False) as client:
        yield client


def klines(client: httpx.Client, interval: str = "1h", **query: Any) -> list[list[Any]]:
    answer = client.get("/klines", params={"symbol": "BTCUSDT", "interval": interval, **query})
    answer.raise_for_status()
    rows: list[list[Any]] = answer.json()
    return rows


def now_ms(client: httpx.Client) -> int:
    time: int = client.get("/time").json()["serverTime"]
    return time


def test_five_hundred_rows_by_default_and_never_more_than_a_thousand(binance: httpx.Client) -> None:
    assert len(klines(binance)) == 500
    assert len(klines(binance, limit=5000)) == 1000


@pytest.mark.parametrize("interval", list(BAR))
def test_rows_ascend_on_the_grid_and_close_before_the_next_opens(binance: httpx.Client, interval: str) -> None:
    rows = klines(binance, interval, limit=300)
    assert all(row[0] % BAR[interval] == 0 and row[6] == row[0] + BAR[interval] - 1 for row in rows)
    assert all(later[0] == earlier[6] + 1 for earlier, later in pairwise(rows))


@pytest.mark.parametrize("interval", list(BAR))
def test_the_last_row_is_the_running_candle(binance: httpx.Client, interval: str) -> None:
    before = now_ms(binance)
    last = klines(binance, interval, limit=1)[0]
    assert last[0] <= now_ms(binance)
    assert last[6] >= before


def test_the_running_candle_shows_only_what_is_known_by_now(binance: httpx.Client, control: Control) -> None:
    """Advancing into it completes it: same open, a range at least as wide, a volume at least as large."""
    control.advance(hours=(HOUR - now_ms(binance) % HOUR) / HOUR + 0.5)
    running = klines(binance, limit=1)[0]
    control.advance(hours=1)
    finished = klines(binance, startTime=running[0], limit=1)[0]
    assert finished[:2] == running[:2]
    assert float(finished[2]) >= float(running[2])
    assert float(finished[3]) <= float(running[3])
    assert float(finished[5]) > float(running[5])
    parts = klines(binance, "5m", startTime=running[0], limit=12)
    assert float(running[2]) <= max(float(row[2]) for row in parts[:7])
    assert sum(float(row[5]) for row in parts[:6]) <= float(running[5]) + 1e-9


def test_start_and_end_are_both_inclusive_on_the_open_time(binance: httpx.Client) -> None:
    newest = klines(binance, limit=1)[0][0]
    start, end = newest - 10 * HOUR, newest - 5 * HOUR
    assert [row[0] for row in klines(binance, startTime=start, endTime=end)] == list(range(start, end + 1, HOUR))
    assert [row[0] for row in klines(binance, startTime=start + 1, endTime=end - 1)] == list(
        range(start + HOUR, end, HOUR)
    )
    assert [row[0] for row in klines(binance, endTime=end, limit=2)] == [end - HOUR, end]


def test_an_empty_range_is_an_empty_list(binance: httpx.Client) -> None:
    now = now_ms(binance)
    assert klines(binance, startTime=now + HOUR) == []
    assert klines(binance, startTime=now - 2 * HOUR, endTime=now - 5 * HOUR) == []
    assert klines(binance, endTime=1_000) == []


@pytest.mark.parametrize(("interval", "days"), [("1h", 120), ("15m", 30), ("5m", 12), ("4h", 500)])
def test_pages_join_without_a_gap_or_a_repeat(binance: httpx.Client, interval: str, days: int) -> None:
    newest = klines(binance, interval, limit=1)[0][0]
    start = newest - days * 24 * HOUR
    pages: list[list[Any]] = []
    cursor = start
    while cursor <= newest:
        page = klines(binance, interval, startTime=cursor, endTime=newest, limit=1000)
        pages += page
        cursor = page[-1][0] + BAR[interval]
    assert [row[0] for row in pages] == list(range(start, newest + 1, BAR[interval]))


def test_a_candle_is_the_same_whatever_was_asked_for(binance: httpx.Client) -> None:
    whole = klines(binance, "5m", limit=1000)
    newest = whole[-1][0]
    some = klines(binance, "5m", startTime=newest - 400 * 300_000, limit=7)
    assert some == [row for row in whole if row[0] >= newest - 400 * 300_000][:7]


@pytest.mark.parametrize(("fine", "coarse"), [("5m", "15m"), ("5m", "1h"), ("15m", "1h"), ("1h", "4h")])
def test_short_candles_aggregate_to_long_ones(binance: httpx.Client, fine: str, coarse: str) -> None:
    newest = klines(binance, coarse, limit=1)[0][0]
    first = newest - 40 * BAR[coarse]
    long_rows = klines(binance, coarse, startTime=first, endTime=newest - 1)
    short_rows = klines(binance, fine, startTime=first, endTime=newest - 1, limit=1000)
    assert len(long_rows) == 40
    for row in long_rows:
        parts = [part for part in short_rows if row[0] <= part[0] <= row[6]]
        assert parts[0][1] == row[1]
        assert max(float(part[2]) for part in parts) == float(row[2])
        assert min(float(part[3]) for part in parts) == float(row[3])
        assert parts[-1][4] == row[4]
        assert sum(round(float(part[5]) * 1e8) for part in parts) == round(float(row[5]) * 1e8)


def test_the_missing_hour_of_the_real_data_stays_a_gap(
    binance: httpx.Client, control: Control, market_data_dir: object
) -> None:
    shift = control.data()["shift_weeks"] * 7 * 24 * HOUR
    missing = 1_679_662_800_000 + shift  # 2023-03-24 13:00 UTC
    around = klines(binance, startTime=missing - HOUR, endTime=missing + HOUR)
    assert [row[0] for row in around] == [missing - HOUR, missing + HOUR]
    assert klines(binance, "5m", startTime=missing, endTime=missing + HOUR - 1) == []
    four = klines(binance, "4h", startTime=missing - HOUR, endTime=missing)
    assert len(four) == 1
    assert four[0][0] == missing - HOUR
    # A page that spans the gap is full all the same.
    assert len(klines(binance, endTime=missing + 100 * HOUR, limit=1000)) == 1000
    assert len(klines(binance, startTime=missing - 100 * HOUR, limit=1000)) == 1000
    assert len(klines(binance, "5m", endTime=missing + 40 * HOUR, limit=1000)) == 1000
    assert len(klines(binance, "5m", startTime=missing - 40 * HOUR, limit=1000)) == 1000


def test_advance_moves_the_present_into_real_bars(binance: httpx.Client, control: Control) -> None:
    before, last = now_ms(binance), klines(binance, limit=1)[0][0]
    ahead = control.data()["days_ahead"]
    control.advance(days=2)
    assert now_ms(binance) - before >= 2 * 24 * HOUR
    assert control.data()["days_ahead"] == pytest.approx(ahead - 2, abs=0.01)
    rows = klines(binance, startTime=last)
    assert len(rows) in {49, 50}
    assert rows[-1][6] > now_ms(binance) - HOUR


def test_advance_beyond_the_data_or_backwards_is_refused(control: Control) -> None:
    with pytest.raises(ControlError, match=r"only .* days of candles lie ahead"):
        control.advance(days=200)
    with pytest.raises(ControlError, match="only moves forward"):
        control.advance(days=-1)


def test_the_start_says_which_data_it_runs_on(sandbox: Sandbox, control: Control, market_data_dir: object) -> None:
    about = control.data()
    assert about["data"] == f"real Binance candles 2022-2024, shifted by {about['shift_weeks']} weeks"
    assert about["data"] in sandbox.services["binance"].log.read_text()
