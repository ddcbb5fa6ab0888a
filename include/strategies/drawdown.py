"""How far and how long an equity lay below its own peak."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from include.strategies.definition import FloatArray


@dataclass(frozen=True)
class Drawdown:
    """All in percent, but the longest time in days: from a peak to the close that reaches it again, or to the last."""

    max_pct: float
    time_under_water_pct: float
    longest_days: float


def drawdown(equity: FloatArray, cash: float, open_time_ms: NDArray[np.int64]) -> Drawdown:
    """Return the deepest fall below the highest equity so far (the cash counts), and the time below it.

    :param equity: at each bar's close, shape `(n,)`; the first bar's is the cash, as nothing is traded in it.
    """
    if len(equity) < 2:
        return Drawdown(0.0, 0.0, 0.0)
    peak = np.maximum.accumulate(np.maximum(equity, cash))
    under = equity < peak
    dry = np.maximum.accumulate(np.where(under, 0, np.arange(len(equity))))
    # A bar prolongs or ends a spell when it, or the one before it, lies under water; it counts from the last dry bar.
    wet_ms = np.where(under[1:] | under[:-1], open_time_ms[1:] - open_time_ms[dry[:-1]], 0)
    return Drawdown(
        float(100 * np.max(1 - equity / peak)), float(100 * under[1:].mean()), int(wet_ms.max()) / 86_400_000
    )
