"""Enough candles: the exact figures of the specification, and the 2 % that may be missing."""

from __future__ import annotations

import pytest

from include.errors import BadInputError
from include.market.sufficiency import require_enough
from tests.market.series import make_candles


@pytest.mark.critical
def test_tc_async_008_thirty_days_expect_720_samples() -> None:
    with pytest.raises(BadInputError, match=r"^Insufficient data: expected 720 samples, found 120 ") as caught:
        require_enough(make_candles(120), 30)
    assert "ingest_candles with days=30" in str(caught.value)


@pytest.mark.parametrize(
    ("timeframe", "days", "expected", "least"),
    [("1h", 30, 720, 706), ("1h", 7, 168, 165), ("4h", 30, 180, 177), ("15m", 7, 672, 659), ("5m", 7, 2016, 1976)],
)
def test_two_percent_may_be_missing_and_not_one_more(timeframe: str, days: int, expected: int, least: int) -> None:
    lost = expected - least
    require_enough(make_candles(expected, timeframe=timeframe), days)
    require_enough(make_candles(expected, timeframe=timeframe, without=range(5, 5 + lost)), days)
    with pytest.raises(BadInputError, match=f"expected {expected} samples, found {least - 1} "):
        require_enough(make_candles(expected, timeframe=timeframe, without=range(5, 6 + lost)), days)


def test_older_candles_do_not_hide_a_gap_in_the_days_asked_for() -> None:
    candles = make_candles(1_000, without=range(900, 950))
    with pytest.raises(BadInputError, match="expected 720 samples, found 670 "):
        require_enough(candles, 30)


def test_no_candles_at_all() -> None:
    with pytest.raises(BadInputError, match="expected 168 samples, found 0 "):
        require_enough(make_candles(0), 7)


@pytest.mark.parametrize("days", [0, -1])
def test_days_below_one_are_refused(days: int) -> None:
    with pytest.raises(BadInputError, match=f"days is {days}"):
        require_enough(make_candles(10), days)
