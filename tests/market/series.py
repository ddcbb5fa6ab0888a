"""Candles made from a seed, for tests that need some series and not a market."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from include.market.candles import Candles
from include.market.timeframes import timeframe_ms

START_MS = 1_704_067_200_000  # 2024-01-01 00:00 UTC
HOUR_MS = 3_600_000


def make_candles(
    count: int,
    *,
    symbol: str = "BTCUSDT",
    timeframe: str = "1h",
    start_ms: int = START_MS,
    without: Collection[int] = (),
    seed: int = 7,
) -> Candles:
    """Return a random walk of `count` bars, less those whose positions are in `without`."""
    rng = np.random.default_rng(seed)
    close = np.round(40_000 * np.exp(np.cumsum(rng.normal(0, 0.004, count))), 2)
    open_ = np.concatenate([[40_000.0], close[:-1]])
    high = np.round(np.maximum(open_, close) * 1.001, 2)
    low = np.round(np.minimum(open_, close) * 0.999, 2)
    volume = np.round(rng.uniform(0, 900, count), 5)
    times = start_ms + np.arange(count, dtype=np.int64) * timeframe_ms(timeframe)
    keep = np.setdiff1d(np.arange(count), np.array(sorted(without), dtype=np.int64))
    return Candles(
        symbol, timeframe, times[keep], open_[keep], high[keep], low[keep], close[keep], volume[keep]
    )  # fmt: skip


def replaced(candles: Candles, field: str, position: int, value: float) -> Candles:
    """Return a copy with one number replaced."""
    columns = {name: getattr(candles, name).copy() for name in ("open_time", "open", "high", "low", "close", "volume")}
    columns[field][position] = value
    return Candles(candles.symbol, candles.timeframe, **columns)


def assert_same(left: Candles, right: Candles) -> None:
    """Compare two series bit by bit."""
    assert (left.symbol, left.timeframe) == (right.symbol, right.timeframe)
    for name in ("open_time", "open", "high", "low", "close", "volume"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)
