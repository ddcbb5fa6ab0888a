"""Bridge, clock and sources of candles, without a server."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.market.bars import DAY_MS, FIVE_MINUTES_MS, HOUR_MS, INTERVAL_MS, WEEK_MS, Bars, from_floats
from sandbox.market.bridge import PARTS, five_minute_bars, unfinished
from sandbox.market.clock import MIN_AHEAD_MS, ClockError, SandboxClock
from sandbox.market.noise import symbol_seed, uniforms
from sandbox.market.source import MarketDataError, MarketSource
from sandbox.market.view import MarketView, open_view

FIELDS = ("open_time", "open", "high", "low", "close", "volume")
NOW_S = 1_795_000_000.5


def hourly_bars(rows: list[tuple[int, int, int, int, int]], start: int = 0) -> Bars:
    """Return bars from (low, range, open share, close share in 1/1000, volume)."""
    table = np.array(rows, dtype=np.int64)
    low, span = table[:, 0], table[:, 1]
    times = (start + np.arange(len(rows), dtype=np.int64)) * HOUR_MS
    return Bars(
        times, low + span * table[:, 2] // 1000, low + span, low, low + span * table[:, 3] // 1000, table[:, 4], 2, 5
    )  # fmt: skip


one_bar = st.tuples(
    st.integers(1, 10**8), st.integers(0, 10**6), st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 10**13)
)


def assert_same(one: Bars, other: Bars) -> None:
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def assert_believable(bars: Bars) -> None:
    assert (bars.high >= np.maximum(bars.open, bars.close)).all()
    assert (bars.low <= np.minimum(bars.open, bars.close)).all()
    assert (bars.volume >= 0).all()
    assert (bars.low > 0).all()


@given(rows=st.lists(one_bar, min_size=1, max_size=30), start=st.integers(0, 10**6), seed=st.integers(0, 2**32 - 1))
def test_the_bridge_aggregates_exactly_to_its_hours(
    rows: list[tuple[int, int, int, int, int]], start: int, seed: int
) -> None:
    hours = hourly_bars(rows, start)
    fives = five_minute_bars(hours, seed)
    assert len(fives) == PARTS * len(hours)
    assert_believable(fives)
    assert_same(fives.aggregate(HOUR_MS), hours)


@given(rows=st.lists(one_bar, min_size=3, max_size=12), at=st.integers(0, 11), seed=st.integers(0, 2**32 - 1))
def test_an_hours_bridge_does_not_depend_on_its_neighbours(
    rows: list[tuple[int, int, int, int, int]], at: int, seed: int
) -> None:
    hours = hourly_bars(rows)
    at %= len(hours)
    assert_same(
        five_minute_bars(hours[at : at + 1], seed), five_minute_bars(hours, seed)[at * PARTS : (at + 1) * PARTS]
    )


@given(row=one_bar, first=st.floats(0, 1), second=st.floats(0, 1))
def test_an_unfinished_candle_only_grows(row: tuple[int, int, int, int, int], first: float, second: float) -> None:
    whole = hourly_bars([row])
    early, late = (unfinished(whole, share) for share in sorted((first, second)))
    for wide, narrow in ((late, early), (whole, late)):
        assert wide.open == narrow.open
        assert (wide.high >= narrow.high).all()
        assert (wide.low <= narrow.low).all()
        assert (wide.volume >= narrow.volume).all()


def test_every_real_bar_of_every_symbol_is_bridged_exactly(market_data_dir: Path) -> None:
    source = MarketSource(market_data_dir)
    for symbol in source.symbols:
        hours = source.hours(symbol)
        fives = five_minute_bars(hours, symbol_seed(symbol))
        assert_believable(fives)
        assert_same(fives.aggregate(HOUR_MS), hours)


def test_bridged_candles_move_like_a_walk_and_not_like_a_line(market_data_dir: Path) -> None:
    """Five-minute returns times the root of twelve come near the hourly ones, with a correlation near zero."""
    source = MarketSource(market_data_dir)
    hours = source.hours("BTCUSDT")
    returns = np.diff(np.log(five_minute_bars(hours, symbol_seed("BTCUSDT")).close))
    hourly = np.diff(np.log(hours.close)).std()
    assert 0.7 * hourly < returns.std() * np.sqrt(PARTS) < 1.3 * hourly
    assert abs(np.corrcoef(returns[1:], returns[:-1])[0, 1]) < 0.1


def test_real_candles_are_read_without_loss(market_data_dir: Path) -> None:
    source = MarketSource(market_data_dir)
    hours = source.hours("BTCUSDT")
    with gzip.open(market_data_dir / "BTCUSDT_1h.csv.gz", "rt") as file:
        lines = file.read().splitlines()[1:]
    assert len(hours) == len(lines)
    for at in (0, 12_345, len(lines) - 1):
        row = lines[at].split(",")
        assert int(row[0]) == hours.open_time[at]
        assert float(row[1]) == hours.open[at] / 10**hours.price_decimals
        assert float(row[5]) == hours.volume[at] / 10**hours.volume_decimals


@given(
    st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 10**12)), min_size=1, max_size=20),
    st.integers(0, 8),
    st.integers(0, 6),
)
def test_decimals_are_found_so_that_nothing_is_lost(
    rows: list[tuple[int, int]], price_decimals: int, volume_decimals: int
) -> None:
    table = np.array([[price / 10**price_decimals] * 4 + [volume / 10**volume_decimals] for price, volume in rows])
    bars = from_floats(np.arange(len(rows), dtype=np.int64), table)
    np.testing.assert_array_equal(bars.close / 10**bars.price_decimals, table[:, 3])
    np.testing.assert_array_equal(bars.volume / 10**bars.volume_decimals, table[:, 4])


def test_noise_is_uniform_and_independent_of_its_neighbours() -> None:
    keys = np.arange(20_000, dtype=np.int64) * HOUR_MS
    table = uniforms(7, keys, 1, 4)
    assert ((table > 0) & (table < 1)).all()
    assert np.abs(table.mean(axis=0) - 0.5).max() < 0.01
    assert np.abs(np.corrcoef(table.T) - np.eye(4)).max() < 0.03
    assert abs(np.corrcoef(table[1:, 0], table[:-1, 0])[0, 1]) < 0.03
    assert not np.array_equal(table, uniforms(8, keys, 1, 4))
    assert not np.array_equal(table, uniforms(7, keys, 2, 4))


# --- the clock


def clock(path: Path | None, now_s: float = NOW_S, end_ms: int = 1_735_689_600_000) -> SandboxClock:
    return SandboxClock.open(path, "test candles", end_ms, lambda: now_s)


@given(end_ms=st.integers(0, 2 * 10**12), now_s=st.floats(0, 4 * 10**9))
def test_a_new_shift_is_whole_weeks_and_leaves_sixty_to_sixty_seven_days(end_ms: int, now_s: float) -> None:
    new = clock(None, now_s, end_ms)
    assert new.shift_ms % WEEK_MS == 0
    assert MIN_AHEAD_MS <= new.ahead_ms() < MIN_AHEAD_MS + WEEK_MS


def test_the_shift_is_fixed_over_restarts_however_much_later(tmp_path: Path) -> None:
    path = tmp_path / "market.json"
    first = clock(path)
    later = clock(path, NOW_S + 40 * 86_400)
    assert later.shift_weeks == first.shift_weeks
    assert later.ahead_ms() == first.ahead_ms() - 40 * DAY_MS


def test_the_advanced_clock_is_kept_over_restarts_and_seen_by_other_processes(tmp_path: Path) -> None:
    path = tmp_path / "market.json"
    first, other = clock(path), clock(path)
    first.advance(14 * DAY_MS)
    assert other.now_ms() == first.now_ms() == int(NOW_S * 1000) + 14 * DAY_MS
    first.advance(HOUR_MS)
    assert clock(path).now_ms() == other.now_ms() == int(NOW_S * 1000) + 14 * DAY_MS + HOUR_MS


def test_the_clock_cannot_leave_the_data(tmp_path: Path) -> None:
    new = clock(tmp_path / "market.json")
    with pytest.raises(ClockError, match="only"):
        new.advance(new.ahead_ms() + 1)
    assert new.advance_ms == 0


def test_a_state_file_of_other_candles_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "market.json"
    clock(path)
    with pytest.raises(ClockError, match="belongs to other candles"):
        SandboxClock.open(path, "fallback", 1_735_689_600_000)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"data": "test candles"}', '{"shift_weeks": "x"}'])
def test_an_unusable_state_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "market.json"
    path.write_text(text)
    with pytest.raises(ClockError, match=r"market\.json is unusable"):
        clock(path)


def test_a_state_file_is_plain_json(tmp_path: Path) -> None:
    path = tmp_path / "market.json"
    new = clock(path)
    state = json.loads(path.read_text())
    assert state["shift_weeks"] == new.shift_weeks
    assert [file.name for file in tmp_path.iterdir()] == ["market.json"]


# --- the fallback


def test_without_real_candles_there_are_eurusd_and_synthetic_pairs(tmp_path: Path) -> None:
    source = MarketSource(tmp_path)
    assert not source.is_real
    assert {"BTCUSDT", "ETHUSDT", "EURUSDT"} <= set(source.symbols)
    assert "EURUSD" in source.describe()
    assert "synthetic" in source.describe()
    for symbol in source.symbols:
        hours = source.hours(symbol)
        assert_believable(hours)
        assert (np.diff(hours.open_time) == HOUR_MS).all()
        assert hours.open_time[-1] + HOUR_MS == source.end_ms
    assert len(source.hours("BTCUSDT")) > 2 * 365 * 24 + 67 * 24
    assert 1.0 < source.hours("EURUSDT").close[-1] / 10 ** source.hours("EURUSDT").price_decimals < 1.3


def test_synthetic_pairs_are_the_same_in_every_process_and_differ_from_each_other(tmp_path: Path) -> None:
    one, other = MarketSource(tmp_path), MarketSource(None)
    assert_same(one.hours("BTCUSDT"), other.hours("BTCUSDT"))
    returns = [np.diff(np.log(one.hours(symbol).close)) for symbol in ("BTCUSDT", "ETHUSDT")]
    assert abs(np.corrcoef(returns)[0, 1]) < 0.05
    assert abs(np.corrcoef(returns[0][1:], returns[0][:-1])[0, 1]) < 0.05


def test_the_fallback_has_two_years_behind_the_present(tmp_path: Path) -> None:
    view = open_view(tmp_path, None)
    now = view.clock.now_ms()
    bars = view.klines("BTCUSDT", "4h", start_ms=now - 730 * DAY_MS, limit=10_000)
    assert bars.open_time[0] < now - 729 * DAY_MS


def test_an_unknown_symbol_is_a_key_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        MarketSource(tmp_path).hours("NOSUCH")


def test_a_file_with_another_header_is_named(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "BTCUSDT_1h.csv.gz", "wt") as file:
        file.write("time,open\n1,2\n")
    with pytest.raises(MarketDataError, match="begins with 'time,open'"):
        open_view(tmp_path, None)


@settings(max_examples=60, deadline=None)
@given(
    interval=st.sampled_from(sorted(INTERVAL_MS)),
    offset=st.integers(0, 30 * DAY_MS),
    limit=st.integers(1, 200),
    back=st.integers(1, 40 * DAY_MS),
)
def test_any_range_is_a_slice_of_the_whole(interval: str, offset: int, limit: int, back: int) -> None:
    view = _fallback_view()
    now = view.clock.now_ms() - offset
    whole = view.klines("ETHUSDT", interval, start_ms=now - 45 * DAY_MS, limit=20_000, now_ms=now)
    part = view.klines("ETHUSDT", interval, start_ms=now - back, limit=limit, now_ms=now)
    first = int(np.searchsorted(whole.open_time, now - back))
    assert_same(part, whole[first : first + limit])
    newest = view.klines("ETHUSDT", interval, limit=limit, now_ms=now)
    assert_same(newest, whole[len(whole) - limit :])
    assert now - INTERVAL_MS[interval] < newest.open_time[-1] <= now


_views: list[MarketView] = []


def _fallback_view() -> MarketView:
    if not _views:
        _views.append(open_view(None, None))
    return _views[0]


def test_after_the_end_of_the_data_there_is_nothing_more() -> None:
    view = _fallback_view()
    end = view.source.end_ms + view.clock.shift_ms
    bars = view.klines("ETHUSDT", "5m", limit=10, now_ms=end + 5 * DAY_MS)
    assert bars.open_time[-1] == end - FIVE_MINUTES_MS
    assert len(bars) == 10
    assert len(view.last_day("ETHUSDT", end + 5 * DAY_MS)) == 0
