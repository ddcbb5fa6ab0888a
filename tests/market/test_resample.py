"""Resampling: complete bars on UTC's grid, compared with the definition written out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.errors import BadInputError
from include.market.candles import check_candles
from include.market.resample import resample, resample_counted
from include.market.timeframes import TIMEFRAME_MS
from tests.market.series import HOUR_MS, START_MS, assert_same, make_candles


@given(
    missing=st.sets(st.integers(0, 59)),
    shift=st.integers(0, 47),
    pair=st.sampled_from([("5m", "15m"), ("5m", "1h"), ("15m", "1h"), ("15m", "4h"), ("1h", "4h")]),
)
def test_agrees_with_the_definition(missing: set[int], shift: int, pair: tuple[str, str]) -> None:
    source, target = pair
    bar_ms, target_ms = TIMEFRAME_MS[source], TIMEFRAME_MS[target]
    candles = make_candles(60, timeframe=source, start_ms=START_MS + shift * bar_ms, without=missing)
    groups: dict[int, list[int]] = {}
    for i, time in enumerate(candles.open_time.tolist()):
        groups.setdefault(time - time % target_ms, []).append(i)
    complete = {start: part for start, part in groups.items() if len(part) == target_ms // bar_ms}

    result = resample_counted(candles, target)

    assert result.left_out == len(groups) - len(complete)
    longer = result.candles
    assert longer.timeframe == target
    assert longer.open_time.tolist() == sorted(complete)
    for i, start in enumerate(sorted(complete)):
        part = complete[start]
        assert longer.open[i] == candles.open[part[0]]
        assert longer.close[i] == candles.close[part[-1]]
        assert longer.high[i] == max(candles.high[part])
        assert longer.low[i] == min(candles.low[part])
        assert longer.volume[i] == pytest.approx(sum(candles.volume[part]))
    check_candles(longer)


def test_four_hour_bars_begin_at_utcs_multiples_of_four_and_partial_ends_are_left_out() -> None:
    candles = make_candles(21, start_ms=START_MS + 2 * HOUR_MS)  # 02:00 to 22:00
    result = resample_counted(candles, "4h")
    assert result.candles.open_time.tolist() == [START_MS + n * HOUR_MS for n in (4, 8, 12, 16)]
    assert result.left_out == 2


def test_one_missing_hour_costs_its_whole_longer_bar() -> None:
    result = resample_counted(make_candles(24, without=[9]), "4h")
    assert result.candles.open_time.tolist() == [START_MS + n * HOUR_MS for n in (0, 4, 12, 16, 20)]
    assert result.left_out == 1


def test_same_timeframe_returns_the_same_candles() -> None:
    candles = make_candles(10)
    assert_same(resample(candles, "1h"), candles)


def test_empty_stays_empty() -> None:
    assert len(resample(make_candles(0), "4h")) == 0


@pytest.mark.parametrize(("source", "target"), [("1h", "15m"), ("4h", "1h"), ("15m", "5m")])
def test_shorter_candles_cannot_be_made(source: str, target: str) -> None:
    with pytest.raises(BadInputError, match=f"{source} cannot be combined into {target}"):
        resample(make_candles(10, timeframe=source), target)


def test_unknown_timeframe_is_refused() -> None:
    with pytest.raises(BadInputError, match="Invalid timeframe: '2h'"):
        resample(make_candles(10), "2h")
