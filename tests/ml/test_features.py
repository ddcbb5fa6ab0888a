"""Features: what a row may know, scale, warm-up, and the edges of real data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from include.market.candles import Candles
from include.ml.features import TREND_FEATURE, WARMUP_BARS, compute_features, trailing_volatility
from include.ml.labels import trend_baseline
from tests.ml.series import BAR_MS, random_walk

BARS = WARMUP_BARS + 72
WALK = random_walk(BARS, seed=4)
NAMES, VALUES = compute_features(WALK)
DECIDED_BY_CANDLES = [name for name in NAMES if not name.startswith(("hour_", "week_"))]


def changed_after(candles: Candles, bar: int) -> Candles:
    """The same candles up to `bar`; after it another market: other prices, ranges and volumes."""
    other = random_walk(len(candles), seed=99)
    later = np.arange(len(candles)) > bar
    mixed = {
        name: np.where(later, 1.7 * getattr(other, name), getattr(candles, name))
        for name in ("open", "high", "low", "close")
    }
    return replace(candles, **mixed, volume=np.where(later, 9.0 * other.volume, candles.volume))


@pytest.fixture(scope="module")
def rows_with_another_future() -> list[np.ndarray]:
    """For every bar t from the end of the warm-up: the rows up to t, computed with all later candles changed."""
    return [compute_features(changed_after(WALK, t))[1][: t + 1] for t in range(WARMUP_BARS, BARS)]


@pytest.mark.critical
@pytest.mark.parametrize("name", NAMES)
def test_a_feature_of_a_bar_does_not_change_with_any_later_candle(
    name: str, rows_with_another_future: list[np.ndarray]
) -> None:
    column = NAMES.index(name)
    for rows in rows_with_another_future:
        np.testing.assert_array_equal(rows[:, column], VALUES[: len(rows), column])


@pytest.mark.parametrize("name", DECIDED_BY_CANDLES)
def test_the_causality_test_would_see_a_feature_shifted_one_bar_into_the_future(
    name: str, rows_with_another_future: list[np.ndarray]
) -> None:
    column = NAMES.index(name)
    shifted = np.roll(VALUES[:, column], -1)
    t = BARS - 2
    other = compute_features(changed_after(WALK, t))[1]
    assert shifted[t] != np.roll(other[:, column], -1)[t]


def test_features_are_known_without_the_next_candle() -> None:
    for count in (WARMUP_BARS + 1, WARMUP_BARS + 30):
        _, values = compute_features(WALK.between(None, int(WALK.open_time[count])))
        np.testing.assert_array_equal(values, VALUES[:count])


def test_the_price_scale_and_the_volume_scale_do_not_matter() -> None:
    prices = {name: 1e-5 * getattr(WALK, name) for name in ("open", "high", "low", "close")}
    _, values = compute_features(replace(WALK, **prices, volume=1e6 * WALK.volume))
    np.testing.assert_allclose(values[WARMUP_BARS:], VALUES[WARMUP_BARS:], rtol=1e-3, atol=1e-4)


def test_every_row_after_the_warm_up_is_finite_and_float32() -> None:
    assert VALUES.dtype == np.float32
    assert VALUES.shape == (BARS, len(NAMES))
    assert 12 <= len(NAMES) <= 20
    assert np.isfinite(VALUES[WARMUP_BARS:]).all()


def test_a_row_whose_longest_window_is_not_full_is_not_a_number() -> None:
    for name, first in (("volume_6_144", 143), ("return_72", 72), ("atr_14", 48), ("ema12_distance", 48)):
        column = VALUES[:, NAMES.index(name)]
        assert np.isnan(column[:first]).all()
        assert np.isfinite(column[first:]).all()


def test_an_older_start_of_the_history_hardly_changes_a_row() -> None:
    long = random_walk(3 * WARMUP_BARS, seed=8)
    _, full = compute_features(long)
    _, short = compute_features(long.tail(WARMUP_BARS + 1))
    np.testing.assert_allclose(short[-1], full[-1], atol=2e-3)


def test_a_price_that_stands_still_and_hours_without_trades_stay_finite() -> None:
    flat = np.full(BARS, 5.0)
    candles = replace(WALK, open=flat, high=flat, low=flat, close=flat, volume=np.zeros(BARS))
    assert np.isfinite(compute_features(candles)[1][WARMUP_BARS:]).all()


def test_the_trend_feature_has_the_sign_of_the_baseline() -> None:
    trend = VALUES[WARMUP_BARS:, NAMES.index(TREND_FEATURE)]
    np.testing.assert_array_equal(trend > 0, trend_baseline(WALK.close)[WARMUP_BARS:] == 1.0)


def test_the_calendar_repeats_every_day_and_every_week() -> None:
    long = random_walk(WARMUP_BARS + 400, seed=5)
    names, values = compute_features(long)
    hour, week = names.index("hour_sin"), names.index("week_cos")
    np.testing.assert_allclose(values[200:300, hour], values[224:324, hour], atol=1e-6)
    np.testing.assert_allclose(values[200:300, week], values[368:468, week], atol=1e-6)
    assert BAR_MS * 24 == 86_400_000


def test_volatility_is_floored_and_unknown_for_the_first_48_bars() -> None:
    volatility = trailing_volatility(np.full(100, 3.0))
    assert np.isnan(volatility[:48]).all()
    assert (volatility[48:] > 0).all()
    assert len(trailing_volatility(np.array([1.0]))) == 1
    assert len(trailing_volatility(np.array([]))) == 0


def test_no_candles_make_no_rows() -> None:
    names, values = compute_features(WALK.tail(0))
    assert values.shape == (0, len(names))
