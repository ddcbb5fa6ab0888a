"""A series of candles as arrays, and the check that its numbers can be believed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from include.errors import BadInputError
from include.market.timeframes import timeframe_ms

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

PRICE_FIELDS = ("open", "high", "low", "close")


@dataclass(frozen=True, eq=False)
class Candles:
    """Closed candles of one symbol and timeframe, oldest first.

    All arrays have shape `(n,)`. `open_time` is in milliseconds since the epoch, UTC, strictly
    ascending; a candle covers `[open_time, open_time + bar_ms)` and its other numbers are known
    only at the end of that span. Prices are in the quote asset, `volume` in the base asset.
    Gaps are allowed here (see `include.market.gaps`).
    """

    symbol: str
    timeframe: str
    open_time: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray

    def __len__(self) -> int:
        """Return the number of candles."""
        return len(self.open_time)

    @property
    def bar_ms(self) -> int:
        """Length of a candle in milliseconds."""
        return timeframe_ms(self.timeframe)

    def between(self, start_ms: int | None = None, end_ms: int | None = None) -> Candles:
        """Return the candles with `start_ms <= open_time < end_ms` (either may be left open)."""
        first = 0 if start_ms is None else int(np.searchsorted(self.open_time, start_ms))
        last = len(self) if end_ms is None else int(np.searchsorted(self.open_time, end_ms))
        return self._slice(slice(first, last))

    def tail(self, count: int) -> Candles:
        """Return the newest `count` candles."""
        return self._slice(slice(max(0, len(self) - count), None))

    def _slice(self, part: slice) -> Candles:
        return Candles(
            self.symbol, self.timeframe, self.open_time[part], self.open[part], self.high[part],
            self.low[part], self.close[part], self.volume[part],
        )  # fmt: skip

    def sha256(self) -> str:
        """Return the hash of the numbers, so that a result can name the data it was computed from."""
        digest = hashlib.sha256(f"{self.symbol}/{self.timeframe}/{len(self)}".encode())
        for values in (self.open_time, self.open, self.high, self.low, self.close, self.volume):
            digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()


def check_candles(candles: Candles) -> None:
    """Refuse candles that cannot be true.

    :raises BadInputError: for NaN, infinity, a price of zero or less, a negative volume, a high
        below the low or outside of open and close, times that do not ascend strictly (a duplicate)
        or do not lie on the timeframe's grid. The message names the field, the value and the candle's time.
    """

    def refuse(mask: NDArray[np.bool_], what: str, values: NDArray[np.generic]) -> None:
        if mask.any():
            at = int(np.argmax(mask))
            time = np.datetime64(int(candles.open_time[at]), "ms")
            raise BadInputError(
                f"Corrupt data: {candles.symbol} {candles.timeframe} candle of {time}Z has {what} "
                f"({values[at]}), {int(mask.sum())} such candle(s); ingest that range again"
            )

    for name in PRICE_FIELDS:
        values: FloatArray = getattr(candles, name)
        refuse(~np.isfinite(values), f"a {name} that is not a finite number", values)
        refuse(values <= 0, f"a {name} that is not above zero", values)
    refuse(~np.isfinite(candles.volume), "a volume that is not a finite number", candles.volume)
    refuse(candles.volume < 0, "a negative volume", candles.volume)
    refuse(candles.high < np.maximum(candles.open, candles.close), "a high below its open or close", candles.high)
    refuse(candles.low > np.minimum(candles.open, candles.close), "a low above its open or close", candles.low)
    if len(candles):
        steps = np.diff(candles.open_time, prepend=candles.open_time[0] - 1)
        refuse(steps == 0, "the same time as the one before (a duplicate)", candles.open_time)
        refuse(steps < 0, "a time before the one before it", candles.open_time)
        refuse(candles.open_time % candles.bar_ms != 0, "a time that is off the timeframe's grid", candles.open_time)
