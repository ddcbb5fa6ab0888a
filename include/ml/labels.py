"""What is to be predicted: the sign of a move, and the distribution of the return.

Everything here looks forward in time, which no feature may. Bar `t`'s values are NaN where the
candles that decide them do not exist yet.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from include.errors import BadInputError
from include.market.indicators import ema

FloatArray = NDArray[np.float64]

LABEL_HORIZON = 8
"""Bars ahead that the label looks."""
EMA_SPAN = 12
QUANTILE_HORIZONS: tuple[int, ...] = (1, 2, 4, 8, 12, 24, 36, 48)
"""Bars ahead of the return quantiles."""
QUANTILES: tuple[float, ...] = (0.1, 0.5, 0.9)
NORMAL_QUANTILES: tuple[float, ...] = (-1.2816, 0.0, 1.2816)
"""The quantiles of a standard normal distribution."""


def labels(close: FloatArray, target: str, horizon: int = LABEL_HORIZON) -> FloatArray:
    """Return 1.0 where the target rises over the next `horizon` bars, else 0.0; the newest `horizon` bars are NaN.

    `trend`: the sign of `EMA12[t + horizon] - EMA12[t]` of the close; `return`: the sign of
    `close[t + horizon] - close[t]`. No change counts as not rising.
    """
    if target == "trend":
        series = ema(close, EMA_SPAN)
    elif target == "return":
        series = close
    else:
        raise BadInputError(f"target must be one of: trend, return, got {target!r}")
    result = np.full(len(close), np.nan)
    if len(close) > horizon:
        result[:-horizon] = series[horizon:] > series[:-horizon]
    return result


def trend_baseline(close: FloatArray) -> FloatArray:
    """Return the trend label's baseline forecast: 1.0 where the close is above its EMA12, else 0.0.

    On a random walk no forecast of the trend label is better: the EMA moves towards the close, and what the
    close does next cannot be known (about 71 % right there).
    """
    return (close > ema(close, EMA_SPAN)).astype(np.float64)


def scaled_returns(
    close: FloatArray, volatility: FloatArray, horizons: tuple[int, ...] = QUANTILE_HORIZONS
) -> FloatArray:
    """Return `ln(close[t + h] / close[t]) / (volatility[t] * sqrt(h))`, shape `(n, len(horizons))`.

    `volatility` is the trailing standard deviation of one bar's log return. NaN where the future is unknown.
    """
    logs = np.log(close)
    result = np.full((len(close), len(horizons)), np.nan)
    for column, horizon in enumerate(horizons):
        if len(close) > horizon:
            move = logs[horizon:] - logs[:-horizon]
            result[:-horizon, column] = move / (volatility[:-horizon] * np.sqrt(horizon))
    return result
