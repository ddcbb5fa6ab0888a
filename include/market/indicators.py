"""Technical indicators as pure NumPy functions: one definition each for features, labels and strategies.

Every function takes series oldest first and returns `float64` arrays of the same length, in which
bar `t` depends on bars up to `t` alone. Bars for which an indicator is not defined yet are NaN.
The inputs must be finite (`include.market.candles.check_candles`); a NaN would spread to every later bar.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from include.errors import BadInputError

FloatArray = NDArray[np.float64]


def ema(values: FloatArray, span: int) -> FloatArray:
    """Return the exponential moving average with weight `2 / (span + 1)`, started at the first value.

    The start's weight has faded to `((span - 1) / (span + 1)) ** n` after `n` bars.
    """
    _check(values, span)
    if not len(values):
        return np.empty(0)
    alpha = 2.0 / (span + 1)
    return _recursive(alpha, 1.0 - alpha, values, values[0])


def wilder(values: FloatArray, period: int) -> FloatArray:
    """Return Wilder's moving average: the mean of the first `period` values, then weight `1 / period`.

    Source: J. W. Wilder, New Concepts in Technical Trading Systems, 1978.
    """
    _check(values, period)
    result = np.full(len(values), np.nan)
    if len(values) >= period:
        start = values[:period].mean()
        result[period - 1] = start
        decay = 1.0 - 1.0 / period
        result[period:] = _recursive(1.0 / period, decay, values[period:], start)
    return result


def rsi(close: FloatArray, period: int = 14) -> FloatArray:
    """Return Wilder's relative strength index, 0 to 100; 50 while the price has not moved at all.

    The first `period` bars are NaN.
    """
    _check(close, period)
    result = np.full(len(close), np.nan)
    if len(close) <= period:
        return result
    change = np.diff(close)
    gain = wilder(np.maximum(change, 0.0), period)
    loss = wilder(np.maximum(-change, 0.0), period)
    total = gain + loss
    result[1:] = np.where(
        total > 0, 100.0 * gain / np.where(total > 0, total, 1.0), np.where(np.isnan(total), total, 50)
    )
    return result


@dataclass(frozen=True, eq=False)
class Macd:
    """MACD line, its signal line and the histogram (their difference), in price units."""

    line: FloatArray
    signal: FloatArray
    histogram: FloatArray


def macd(close: FloatArray, fast: int = 12, slow: int = 26, signal: int = 9) -> Macd:
    """Return the moving average convergence/divergence of `close` (Appel's 12, 26, 9 by default).

    :raises BadInputError: when `fast` is not below `slow`.
    """
    if fast >= slow:
        raise BadInputError(f"MACD needs fast < slow, got fast={fast} and slow={slow}; swap them")
    line = ema(close, fast) - ema(close, slow)
    smooth = ema(line, signal)
    return Macd(line, smooth, line - smooth)


@dataclass(frozen=True, eq=False)
class Bollinger:
    """Bollinger bands in price units, and the close's position: 0 on the lower band, 1 on the upper one.

    The position is 0.5 while the bands have no width.
    """

    lower: FloatArray
    middle: FloatArray
    upper: FloatArray
    position: FloatArray


def bollinger(close: FloatArray, period: int = 20, deviations: float = 2.0) -> Bollinger:
    """Return the bands `mean +/- deviations * population standard deviation` of the last `period` closes."""
    middle = rolling_mean(close, period)
    width = deviations * rolling_std(close, period)
    flat = width <= 1e-12 * np.abs(middle)
    position = np.where(flat, 0.5, (close - middle + width) / np.where(flat, 1.0, 2.0 * width))
    return Bollinger(middle - width, middle, middle + width, position)


def true_range(high: FloatArray, low: FloatArray, close: FloatArray) -> FloatArray:
    """Return the largest of high - low and the distances of high and low from the previous close."""
    before = np.concatenate([close[:1], close[:-1]])
    return np.maximum(high, before) - np.minimum(low, before)


def atr(high: FloatArray, low: FloatArray, close: FloatArray, period: int = 14) -> FloatArray:
    """Return Wilder's average true range in price units; the first `period - 1` bars are NaN."""
    return wilder(true_range(high, low, close), period)


def rolling_mean(values: FloatArray, period: int) -> FloatArray:
    """Return the mean of the last `period` values; the first `period - 1` bars are NaN."""
    return _rolling(values, period)[0]


def rolling_std(values: FloatArray, period: int) -> FloatArray:
    """Return the population standard deviation of the last `period` values; the first `period - 1` are NaN."""
    return _rolling(values, period)[1]


def log_returns(close: FloatArray, span: int = 1) -> FloatArray:
    """Return `ln(close[t] / close[t - span])`; the first `span` bars are NaN."""
    _check(close, span)
    result = np.full(len(close), np.nan)
    logs = np.log(close)
    result[span:] = logs[span:] - logs[:-span]
    return result


def _recursive(gain: float, decay: float, values: FloatArray, start: float) -> FloatArray:
    """Return `y[t] = gain * values[t] + decay * y[t - 1]` with `start` before the first value."""
    # Imported here: scipy.signal takes most of a second, and who answers from a cache computes no indicator.
    from scipy.signal import lfilter

    return lfilter([gain], [1.0, -decay], values, zi=[decay * start])[0]


def _rolling(values: FloatArray, period: int) -> tuple[FloatArray, FloatArray]:
    _check(values, period)
    mean, std = np.full(len(values), np.nan), np.full(len(values), np.nan)
    if len(values) >= period:
        windows = sliding_window_view(values, period)
        mean[period - 1 :] = windows.mean(axis=1)
        std[period - 1 :] = windows.std(axis=1)
    return mean, std


def _check(values: FloatArray, period: int) -> None:
    if period < 1:
        raise BadInputError(f"An indicator's period must be at least 1 bar, got {period}")
    if values.ndim != 1:
        raise BadInputError(f"An indicator needs one series of shape (n,), got shape {values.shape}")
