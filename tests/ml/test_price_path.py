"""The price path: quantiles between the horizons, and a confidence that falls for every forecast there can be."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from include.errors import BadInputError, IntegrityError
from include.ml.labels import QUANTILE_HORIZONS
from include.ml.price_path import confidences, hourly_quantiles, price_path
from tests.ml.real_candles import at_ms

CLOSE_MS = at_ms("2024-06-01")
NUMBER = st.floats(min_value=-50, max_value=50, allow_nan=False, width=32)
ANY_QUANTILES = st.lists(st.tuples(NUMBER, NUMBER, NUMBER), min_size=8, max_size=8)
"""Wild ones: crossing, equal, shrinking with the horizon, and moves that no price makes."""
LIKELY = st.floats(min_value=0, max_value=0.25, width=32)
LIKELY_QUANTILES = st.lists(st.tuples(LIKELY.map(lambda x: -x), st.just(0.0), LIKELY), min_size=8, max_size=8)


def walk(volatility: float = 0.005, z: float = 1.28) -> np.ndarray:
    unit = volatility * np.sqrt(QUANTILE_HORIZONS)
    return np.column_stack([-z * unit, 0 * unit, z * unit])


@settings(max_examples=250, deadline=None)
@given(st.one_of(ANY_QUANTILES, LIKELY_QUANTILES), st.floats(min_value=1e-6, max_value=1e6), st.integers(1, 48))
def test_tc_async_013_confidence_falls_and_the_band_holds_the_price_at_every_hour_of_every_forecast(
    quantiles: list[tuple[float, float, float]], close: float, hours: int
) -> None:
    path = price_path(close, CLOSE_MS, QUANTILE_HORIZONS, np.array(quantiles), hours)
    assert [point.hour for point in path] == list(range(1, hours + 1))
    assert all(0 < point.price_low <= point.predicted_price <= point.price_high < math.inf for point in path)
    assert all(0 < point.confidence < 1 for point in path)
    assert all(later.confidence < earlier.confidence for earlier, later in pairwise(path))


@settings(max_examples=100, deadline=None)
@given(st.one_of(ANY_QUANTILES, LIKELY_QUANTILES), st.integers(1, 48))
def test_a_shorter_path_is_the_beginning_of_the_longest(quantiles: list[tuple[float, ...]], hours: int) -> None:
    whole = price_path(60_000.0, CLOSE_MS, QUANTILE_HORIZONS, np.array(quantiles))
    assert price_path(60_000.0, CLOSE_MS, QUANTILE_HORIZONS, np.array(quantiles), hours) == whole[:hours]


def test_hours_at_the_models_horizons_are_the_models_and_a_random_walk_stays_one_between() -> None:
    rng = np.random.default_rng(1)
    quantiles = np.sort(rng.normal(0, 0.01, (8, 3)), axis=1)
    hourly = hourly_quantiles(QUANTILE_HORIZONS, quantiles, 48)
    assert hourly[np.array(QUANTILE_HORIZONS) - 1] == pytest.approx(quantiles)
    between = hourly_quantiles(QUANTILE_HORIZONS, walk(), 48)
    assert between[:, 2] == pytest.approx(1.28 * 0.005 * np.sqrt(np.arange(1, 49)))


def test_quantiles_that_cross_at_one_horizon_are_put_in_order_before_anything_else() -> None:
    crossing = walk()
    crossing[3] = crossing[3, ::-1]
    assert hourly_quantiles(QUANTILE_HORIZONS, crossing, 48) == pytest.approx(
        hourly_quantiles(QUANTILE_HORIZONS, walk(), 48)
    )


def test_prices_times_and_band_are_those_of_the_quantiles() -> None:
    path = price_path(60_000.0, CLOSE_MS, QUANTILE_HORIZONS, walk() + 0.01)
    assert path[7].predicted_price == pytest.approx(60_000 * math.exp(0.01))
    assert path[7].price_low == pytest.approx(60_000 * math.exp(0.01 - 1.28 * 0.005 * math.sqrt(8)))
    assert (path[0].time, path[23].time) == (
        datetime(2024, 6, 1, 1, tzinfo=UTC),
        datetime(2024, 6, 2, tzinfo=UTC),
    )
    assert path[0].to_dict()["time"] == "2024-06-01T01:00:00+00:00"


def test_confidence_is_the_probability_of_being_at_most_one_percent_off() -> None:
    quantiles = hourly_quantiles(QUANTILE_HORIZONS, walk(0.01) * [1.0, 1.0, 2.0], 48)
    student = stats.t(3)
    for hour in (1, 5, 24, 48):
        low, _, high = np.abs(quantiles[hour - 1]) / student.ppf(0.9)
        expected = student.cdf(math.log(1.01) / low) + student.cdf(math.log(1.01) / high) - 1
        assert confidences(quantiles)[hour - 1] == pytest.approx(expected, abs=1e-12)


def test_a_band_that_narrows_costs_no_certainty_but_is_shown_as_it_is() -> None:
    narrowing = walk()[::-1].copy()
    path = price_path(60_000.0, CLOSE_MS, QUANTILE_HORIZONS, narrowing)
    widths = [point.price_high - point.price_low for point in path]
    assert widths[47] < widths[0] / 3
    assert path[47].confidence < path[0].confidence


def test_a_price_that_stands_still_is_never_certain() -> None:
    path = price_path(1.0, CLOSE_MS, QUANTILE_HORIZONS, np.zeros((8, 3)))
    assert path[0].confidence == pytest.approx(0.999)
    assert path[47].confidence == pytest.approx(0.952)


@pytest.mark.parametrize("hours", [0, 49, -1])
def test_hours_outside_of_1_to_48_are_refused(hours: int) -> None:
    with pytest.raises(BadInputError, match="between 1 and 48"):
        price_path(1.0, CLOSE_MS, QUANTILE_HORIZONS, walk(), hours)


def test_horizons_that_do_not_reach_the_hours_are_refused() -> None:
    with pytest.raises(BadInputError, match="do not cover"):
        price_path(1.0, CLOSE_MS, QUANTILE_HORIZONS[:4], walk()[:4], 24)
    assert len(price_path(1.0, CLOSE_MS, QUANTILE_HORIZONS[:4], walk()[:4], 8)) == 8


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 800.0, -800.0])
def test_a_forecast_that_is_no_price_is_the_models_fault(value: float) -> None:
    quantiles = walk()
    quantiles[3, 1] = value
    with pytest.raises(IntegrityError, match="forecast"):
        price_path(60_000.0, CLOSE_MS, QUANTILE_HORIZONS, quantiles)
