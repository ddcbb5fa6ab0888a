"""Indicators against slow textbook loops, hand-made values, and the rule that no bar sees the future."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from include.errors import BadInputError
from include.market.indicators import (
    atr,
    bollinger,
    ema,
    log_returns,
    macd,
    rolling_mean,
    rolling_std,
    rsi,
    true_range,
    wilder,
)

FloatArray = NDArray[np.float64]

CAUSAL: dict[str, Callable[[FloatArray], FloatArray]] = {
    "ema": lambda close: ema(close, 12),
    "wilder": lambda close: wilder(close, 14),
    "rsi": lambda close: rsi(close, 14),
    "macd line": lambda close: macd(close).line,
    "macd histogram": lambda close: macd(close).histogram,
    "bollinger position": lambda close: bollinger(close, 20).position,
    "bollinger upper": lambda close: bollinger(close, 20).upper,
    "atr": lambda close: atr(close * 1.01, close * 0.99, close, 14),
    "rolling mean": lambda close: rolling_mean(close, 24),
    "rolling std": lambda close: rolling_std(close, 24),
    "log return": lambda close: log_returns(close, 4),
}


def prices(bars: int = 120, seed: int = 1) -> FloatArray:
    return 100.0 * np.exp(np.cumsum(0.01 * np.random.default_rng(seed).standard_normal(bars)))


@pytest.mark.parametrize("name", CAUSAL)
def test_no_bar_depends_on_a_later_one(name: str) -> None:
    close = prices()
    full = CAUSAL[name](close)
    for cut in range(len(close)):
        changed = close.copy()
        changed[cut + 1 :] *= 3.0
        np.testing.assert_array_equal(CAUSAL[name](changed)[: cut + 1], full[: cut + 1])


@pytest.mark.parametrize("name", CAUSAL)
def test_length_is_kept_even_when_the_series_is_too_short(name: str) -> None:
    for bars in (0, 1, 2, 13, 14, 15):
        assert len(CAUSAL[name](prices()[:bars])) == bars


def test_ema_is_the_recursion_from_the_first_value() -> None:
    close = prices()
    expected = [close[0]]
    for value in close[1:]:
        expected.append(2 / 13 * value + 11 / 13 * expected[-1])
    np.testing.assert_allclose(ema(close, 12), expected, rtol=1e-12)


def test_rsi_is_wilders_recursion_seeded_with_the_mean_of_the_first_14_changes() -> None:
    close = prices()
    change = np.diff(close)
    up, down = np.maximum(change, 0), np.maximum(-change, 0)
    gain, loss = up[:14].mean(), down[:14].mean()
    expected = [100 - 100 / (1 + gain / loss)]
    for at in range(14, len(change)):
        gain, loss = (13 * gain + up[at]) / 14, (13 * loss + down[at]) / 14
        expected.append(100 - 100 / (1 + gain / loss))
    result = rsi(close, 14)
    assert np.isnan(result[:14]).all()
    np.testing.assert_allclose(result[14:], expected, rtol=1e-10)


@pytest.mark.parametrize(("step", "expected"), [(1.0, 100.0), (-1.0, 0.0), (0.0, 50.0)])
def test_rsi_at_its_ends(step: float, expected: float) -> None:
    assert rsi(100.0 + step * np.arange(30.0), 14)[-1] == expected


def test_macd_is_the_difference_of_two_emas() -> None:
    close = prices()
    lines = macd(close)
    np.testing.assert_allclose(lines.line, ema(close, 12) - ema(close, 26), rtol=1e-12)
    np.testing.assert_allclose(lines.histogram, lines.line - ema(lines.line, 9), rtol=1e-9, atol=1e-12)
    with pytest.raises(BadInputError, match="fast=26 and slow=12"):
        macd(close, 26, 12)


def test_bollinger_position_is_one_on_the_upper_band_and_half_for_a_flat_price() -> None:
    close = prices()
    bands = bollinger(close, 20)
    expected = (close - bands.lower) / (bands.upper - bands.lower)
    np.testing.assert_allclose(bands.position[19:], expected[19:], rtol=1e-9)
    assert bollinger(np.full(30, 7.0), 20).position[-1] == 0.5


def test_true_range_counts_the_gap_from_the_previous_close() -> None:
    high, low, close = np.array([10.0, 15.0]), np.array([9.0, 14.0]), np.array([9.5, 14.5])
    assert true_range(high, low, close).tolist() == [1.0, 5.5]
    assert atr(np.full(20, 11.0), np.full(20, 9.0), np.full(20, 10.0), 14)[-1] == pytest.approx(2.0)


@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=60), st.integers(1, 20))
@settings(max_examples=60, deadline=None)
def test_rolling_mean_and_deviation_match_a_loop(values: list[float], period: int) -> None:
    series = np.array(values)
    mean, std = rolling_mean(series, period), rolling_std(series, period)
    for at in range(len(series)):
        if at < period - 1:
            assert np.isnan(mean[at])
            assert np.isnan(std[at])
        else:
            part = series[at - period + 1 : at + 1]
            assert mean[at] == pytest.approx(part.mean(), rel=1e-9)
            assert std[at] == pytest.approx(part.std(), rel=1e-6, abs=1e-6 * part.mean())


@given(st.lists(st.floats(0.01, 1e6), min_size=20, max_size=80))
@settings(max_examples=60, deadline=None)
def test_rsi_stays_between_0_and_100_and_ignores_the_scale_of_the_price(values: list[float]) -> None:
    close = np.array(values)
    result = rsi(close, 14)[14:]
    assert ((result >= 0) & (result <= 100)).all()
    np.testing.assert_allclose(rsi(close * 1000.0, 14)[14:], result, rtol=1e-6, atol=1e-6)


def test_a_period_below_one_or_a_table_is_refused() -> None:
    with pytest.raises(BadInputError, match="at least 1 bar"):
        ema(prices(), 0)
    with pytest.raises(BadInputError, match="shape"):
        rolling_mean(prices().reshape(2, -1), 3)
