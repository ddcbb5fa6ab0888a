"""What a network sees of a bar: numbers known at its close, free of the price's scale.

Most features are measured in units of the trailing volatility, so that quiet and wild times, and dear
and cheap coins, look alike. No feature looks at a later candle; `tests/ml/test_features.py` proves it for
each of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from include.market.candles import Candles
from include.market.indicators import atr, bollinger, ema, log_returns, macd, rolling_mean, rolling_std, rsi
from include.market.timeframes import DAY_MS
from include.ml.labels import EMA_SPAN

FloatArray = NDArray[np.float64]

WARMUP_BARS = 168
"""Candles that a row needs before it: the longest window, and time for the averages to forget their start."""
VOLATILITY_BARS = 48
VOLATILITY_FLOOR = 1e-6
"""Log return per bar below which a price counts as standing still (keeps a flat series finite)."""
TREND_FEATURE = "ema12_distance"
RETURN_SPANS = (1, 4, 8, 24, 72)

_MONDAY_OFFSET_MS = 4 * DAY_MS  # 1970-01-01 was a Thursday; a week starts on Monday
_CLIP = 10.0


def trailing_volatility(close: FloatArray) -> FloatArray:
    """Return the standard deviation of the last 48 log returns of one bar, floored; NaN for the first 48 bars."""
    result = np.full(len(close), np.nan)
    if len(close) > 1:
        result[1:] = np.maximum(rolling_std(log_returns(close)[1:], VOLATILITY_BARS), VOLATILITY_FLOOR)
    return result


def compute_features(candles: Candles) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Return the names and the values, shape `(n, features)` float32, of every bar's features.

    Rows before `WARMUP_BARS` are still warming up and must not be used (some hold NaN). Candles must have
    passed `check_candles`. A gap in the candles is stepped over: "8 bars" means eight candles.
    """
    columns = {**_moves(candles), **_oscillators(candles), **_volume(candles.volume), **_calendar(candles.open_time)}
    values = np.column_stack(list(columns.values())) if len(candles) else np.empty((0, len(columns)))
    return tuple(columns), np.clip(values, -_CLIP, _CLIP).astype(np.float32)


def _moves(candles: Candles) -> dict[str, FloatArray]:
    close, volatility = candles.close, trailing_volatility(candles.close)
    result = {f"return_{span}": log_returns(close, span) / (volatility * np.sqrt(span)) for span in RETURN_SPANS}
    returns = log_returns(close)
    result["log_volatility"] = np.log(volatility)
    result["volatility_12_48"] = np.log(np.maximum(_std(returns, 12), VOLATILITY_FLOOR) / volatility)
    result[TREND_FEATURE] = np.log(close / ema(close, EMA_SPAN)) / volatility
    result["ema48_distance"] = np.log(close / ema(close, 48)) / volatility / 4.0
    span = candles.high - candles.low
    result["close_in_range"] = np.where(span > 0, (close - candles.low) / np.where(span > 0, span, 1.0), 0.5)
    return result


def _oscillators(candles: Candles) -> dict[str, FloatArray]:
    close = candles.close
    unit = close * trailing_volatility(close)
    return {
        "rsi_14": rsi(close, 14) / 50.0 - 1.0,
        "macd_histogram": macd(close).histogram / unit,
        "bollinger_position": bollinger(close, 20).position,
        "atr_14": atr(candles.high, candles.low, close, 14) / unit,
    }


def _volume(volume: FloatArray) -> dict[str, FloatArray]:
    day, hours = rolling_mean(volume, 24), rolling_mean(volume, 6)
    week = rolling_mean(volume, 144)
    return {"volume_24": _log_ratio(volume, day), "volume_6_144": _log_ratio(hours, week)}


def _calendar(open_time: NDArray[np.int64]) -> dict[str, FloatArray]:
    day = 2.0 * np.pi * (open_time % DAY_MS) / DAY_MS
    week = 2.0 * np.pi * ((open_time - _MONDAY_OFFSET_MS) % (7 * DAY_MS)) / (7 * DAY_MS)
    return {"hour_sin": np.sin(day), "hour_cos": np.cos(day), "week_sin": np.sin(week), "week_cos": np.cos(week)}


def _std(returns: FloatArray, period: int) -> FloatArray:
    result = np.full(len(returns), np.nan)
    result[1:] = rolling_std(returns[1:], period)
    return result


def _log_ratio(value: FloatArray, usual: FloatArray) -> FloatArray:
    # An hour without trades must stay finite: a thousandth of the usual volume is the lowest value told apart.
    ratio = np.log(value / np.where(usual > 0, usual, 1.0) + 1e-3)
    return np.where(usual == 0, 0.0, np.where(np.isnan(usual), np.nan, ratio))
