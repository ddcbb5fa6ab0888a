"""Gaps: every missing bar is found, and no other."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from include.market.gaps import Gap, GapReport, find_gaps
from include.market.timeframes import TIMEFRAME_MS
from tests.market.series import HOUR_MS, START_MS, make_candles

positions = st.sets(st.integers(0, 39))


@given(missing=positions, timeframe=st.sampled_from(sorted(TIMEFRAME_MS)))
def test_candles_and_gaps_together_are_the_grid(missing: set[int], timeframe: str) -> None:
    bar_ms = TIMEFRAME_MS[timeframe]
    candles = make_candles(40, timeframe=timeframe, without=missing)
    gaps = find_gaps(candles, START_MS, START_MS + 40 * bar_ms)
    in_gaps = [time for gap in gaps for time in range(gap.start_ms, gap.end_ms, bar_ms)]
    assert sorted(in_gaps + candles.open_time.tolist()) == [START_MS + n * bar_ms for n in range(40)]
    assert sorted(in_gaps) == in_gaps
    assert all(gap.bars == (gap.end_ms - gap.start_ms) // bar_ms >= 1 for gap in gaps)
    assert all(left.end_ms < right.start_ms for left, right in pairwise(gaps))


@given(missing=positions)
def test_without_bounds_only_inner_gaps_count(missing: set[int]) -> None:
    candles = make_candles(40, without=missing)
    inner = find_gaps(candles)
    present = set(range(40)) - missing
    expected = {n for n in missing if present and min(present) < n < max(present)}
    assert sum(gap.bars for gap in inner) == len(expected)


@given(missing=positions, first=st.integers(-5, 45), length=st.integers(0, 50))
def test_report_counts_agree_with_its_gaps(missing: set[int], first: int, length: int) -> None:
    candles = make_candles(40, without=missing)
    start_ms = START_MS + first * HOUR_MS
    report = GapReport.of(candles, start_ms, start_ms + length * HOUR_MS)
    assert report.expected == length
    assert report.missing == sum(gap.bars for gap in report.gaps)
    assert report.present + report.missing == length
    assert 0 <= report.missing_pct <= 100


def test_report_names_the_longest_gap() -> None:
    candles = make_candles(100, without=[0, 10, 11, 12, 50, 51])
    report = GapReport.of(candles, START_MS, START_MS + 100 * HOUR_MS)
    assert report.longest == Gap(START_MS + 10 * HOUR_MS, START_MS + 13 * HOUR_MS, 3)
    summary = report.to_dict()
    assert (summary["expected"], summary["present"], summary["missing"], summary["missing_pct"]) == (100, 94, 6, 6.0)
    assert summary["longest"]["start"] == "2024-01-01T10:00:00+00:00"
    assert [gap["bars"] for gap in summary["gaps"]] == [1, 3, 2]


def test_bounds_off_the_grid_are_rounded_up() -> None:
    candles = make_candles(10)
    report = GapReport.of(candles, START_MS + 1, START_MS + 12 * HOUR_MS + 1)
    assert (report.expected, report.present) == (12, 9)
    assert report.gaps == (Gap(START_MS + 10 * HOUR_MS, START_MS + 13 * HOUR_MS, 3),)


def test_complete_series_has_no_gap_and_no_longest() -> None:
    report = GapReport.of(make_candles(24), START_MS, START_MS + 24 * HOUR_MS)
    assert (report.gaps, report.longest, report.missing_pct) == ((), None, 0.0)
    assert report.to_dict()["longest"] is None


def test_empty_series_is_one_gap() -> None:
    empty = make_candles(0)
    assert find_gaps(empty) == []
    assert find_gaps(empty, START_MS, START_MS + 5 * HOUR_MS) == [Gap(START_MS, START_MS + 5 * HOUR_MS, 5)]
    assert find_gaps(empty, START_MS, START_MS) == []
