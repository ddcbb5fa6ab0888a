"""Candles as integers: prices in ticks, volumes in steps, so that aggregation is exact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]

FIVE_MINUTES_MS = 300_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
WEEK_MS = 7 * DAY_MS
INTERVAL_MS = {"5m": FIVE_MINUTES_MS, "15m": 900_000, "1h": HOUR_MS, "4h": 4 * HOUR_MS}

MAX_DECIMALS = 8


@dataclass(frozen=True, eq=False)
class Bars:
    """Candles of one symbol, oldest first; every array has shape `(n,)`.

    `open_time` in milliseconds since the epoch; `open`, `high`, `low`, `close` in ticks of
    `10 ** -price_decimals` of the quote asset; `volume` in steps of `10 ** -volume_decimals` of the base asset.
    """

    open_time: IntArray
    open: IntArray
    high: IntArray
    low: IntArray
    close: IntArray
    volume: IntArray
    price_decimals: int
    volume_decimals: int

    def __len__(self) -> int:
        """Return the number of candles."""
        return len(self.open_time)

    def __getitem__(self, part: slice) -> Bars:
        """Return a range of candles."""
        return Bars(
            self.open_time[part], self.open[part], self.high[part], self.low[part], self.close[part],
            self.volume[part], self.price_decimals, self.volume_decimals,
        )  # fmt: skip

    def between(self, start_ms: int, end_ms: int) -> Bars:
        """Return the candles with `start_ms <= open_time < end_ms`."""
        first, last = np.searchsorted(self.open_time, [start_ms, end_ms])
        return self[int(first) : int(last)]

    def aggregate(self, bar_ms: int) -> Bars:
        """Return longer candles on the grid of `bar_ms`; one with a missing part covers what there is."""
        if not len(self):
            return self
        start = self.open_time - self.open_time % bar_ms
        first = np.flatnonzero(np.diff(start, prepend=start[0] - 1))
        last = np.append(first[1:], len(self)) - 1
        return Bars(
            start[first],
            self.open[first],
            np.maximum.reduceat(self.high, first),
            np.minimum.reduceat(self.low, first),
            self.close[last],
            np.add.reduceat(self.volume, first),
            self.price_decimals,
            self.volume_decimals,
        )

    def append(self, other: Bars) -> Bars:
        """Return these candles followed by later ones of the same symbol."""
        return Bars(
            np.concatenate([self.open_time, other.open_time]),
            np.concatenate([self.open, other.open]),
            np.concatenate([self.high, other.high]),
            np.concatenate([self.low, other.low]),
            np.concatenate([self.close, other.close]),
            np.concatenate([self.volume, other.volume]),
            self.price_decimals,
            self.volume_decimals,
        )


def from_floats(open_time: IntArray, columns: NDArray[np.float64]) -> Bars:
    """Return bars from an array of open, high, low, close, volume, shape `(n, 5)`.

    Ticks and steps are the coarsest powers of ten that lose nothing.
    """
    price_decimals = _decimals(columns[:, :4])
    volume_decimals = _decimals(columns[:, 4])
    prices = np.rint(columns[:, :4] * 10**price_decimals).astype(np.int64)
    volume = np.rint(columns[:, 4] * 10**volume_decimals).astype(np.int64)
    return Bars(
        open_time, prices[:, 0].copy(), prices[:, 1].copy(), prices[:, 2].copy(), prices[:, 3].copy(), volume,
        price_decimals, volume_decimals,
    )  # fmt: skip


def _decimals(values: NDArray[np.float64]) -> int:
    for decimals in range(MAX_DECIMALS):
        scale = 10**decimals
        if np.array_equal(np.rint(values * scale) / scale, values):
            return decimals
    return MAX_DECIMALS
