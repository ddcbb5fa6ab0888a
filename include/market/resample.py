"""Longer candles out of shorter ones, on UTC's grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from include.errors import BadInputError
from include.market.candles import Candles
from include.market.timeframes import timeframe_ms


@dataclass(frozen=True)
class Resampled:
    """Longer candles, and how many were left out because a part of them was missing."""

    candles: Candles
    left_out: int


def resample(candles: Candles, timeframe: str) -> Candles:
    """Return the complete longer candles (see :func:`resample_counted`)."""
    return resample_counted(candles, timeframe).candles


def resample_counted(candles: Candles, timeframe: str) -> Resampled:
    """Combine candles into longer ones: first open, highest high, lowest low, last close, sum of volumes.

    Longer candles begin at multiples of their length since the epoch (4h: 00:00, 04:00... UTC). One with
    any part missing - at the edges or in a gap - is left out and counted: its high, low and volume
    would be invented, and the newest one would not be closed.

    :raises BadInputError: for an unknown timeframe, or one that the source's does not divide.
    """
    target_ms = timeframe_ms(timeframe)
    parts, rest = divmod(target_ms, candles.bar_ms)
    if parts < 1 or rest:
        raise BadInputError(
            f"Candles of {candles.timeframe} cannot be combined into {timeframe}: "
            f"start from a shorter timeframe that divides it"
        )
    starts, counts = np.unique(candles.open_time // target_ms * target_ms, return_counts=True)
    complete = counts == parts
    chosen = np.repeat(complete, counts)

    def grouped(values: np.ndarray) -> np.ndarray:
        return values[chosen].reshape(-1, parts)

    combined = Candles(
        candles.symbol,
        timeframe,
        starts[complete].astype(np.int64),
        grouped(candles.open)[:, 0].copy(),
        grouped(candles.high).max(axis=1),
        grouped(candles.low).min(axis=1),
        grouped(candles.close)[:, -1].copy(),
        grouped(candles.volume).sum(axis=1),
    )
    return Resampled(combined, int(len(starts) - complete.sum()))
