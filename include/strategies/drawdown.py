"""How far and how long an equity lay below its own peak."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from include.strategies.definition import FloatArray


@dataclass(frozen=True)
class Drawdown:
    """All in percent, but the longest time in days."""

    max_pct: float
    time_under_water_pct: float
    longest_days: float


def drawdown(equity: FloatArray, cash: float, open_time_ms: NDArray[np.int64]) -> Drawdown:
    """Return the deepest fall below the highest equity so far (the cash counts), and the time below it.

    :param equity: at each bar's close, shape `(n,)`.
    """
    peak = np.maximum.accumulate(np.maximum(equity, cash))
    under = equity < peak
    if not len(equity):
        return Drawdown(0.0, 0.0, 0.0)
    # A spell begins with the bar after a peak and ends with the bar that reaches it again, or with the data.
    dry = np.maximum.accumulate(np.where(under, -1, np.arange(len(equity))))
    since = open_time_ms[np.maximum(dry, 0)]
    longest_ms = int(np.max(np.where(under, open_time_ms - since, 0)))
    return Drawdown(float(100 * np.max(1 - equity / peak)), float(100 * under.mean()), longest_ms / 86_400_000)
