"""Five-minute candles inside hourly ones: a Brownian bridge that aggregates back exactly.

Within an hour the price walks from the hour's open to its close (a Brownian bridge with twelve
steps), is kept inside the hour's low and high, and one of the twelve candles touches each of them. The
volume is divided by exponential weights. All of it depends only on the symbol and on the hour's time
in the original data, never on what was asked for.
"""

from __future__ import annotations

import numpy as np

from sandbox.market.bars import FIVE_MINUTES_MS, Bars
from sandbox.market.noise import normals, uniforms

PARTS = 12
PATH_SCALE = 0.6
"""Standard deviation of an hour's unconditioned walk, as a share of the hour's range."""
WICK_SCALE = 0.07
"""Mean length of a five-minute candle's wick, as a share of the hour's range."""


def five_minute_bars(hours: Bars, seed: int) -> Bars:
    """Return twelve candles for each hourly candle; their aggregate equals the hourly candle exactly."""
    n = len(hours)
    keys = hours.open_time
    span = (hours.high - hours.low).astype(np.float64)[:, None]

    walk = np.cumsum(normals(seed, keys, 1, PARTS), axis=1) / np.sqrt(PARTS)
    share = np.arange(1, PARTS + 1)[None, :] / PARTS
    bridge = (walk - share * walk[:, -1:]) * span * PATH_SCALE
    trend = hours.open[:, None] + share * (hours.close - hours.open)[:, None]
    low, high = hours.low[:, None], hours.high[:, None]
    close = np.clip(np.rint(trend + bridge).astype(np.int64), low, high)
    close[:, -1] = hours.close
    open_ = np.concatenate([hours.open[:, None], close[:, :-1]], axis=1)

    wick_up = np.rint(-np.log(uniforms(seed, keys, 3, PARTS)) * span * WICK_SCALE).astype(np.int64)
    wick_down = np.rint(-np.log(uniforms(seed, keys, 4, PARTS)) * span * WICK_SCALE).astype(np.int64)
    bar_high = np.minimum(np.maximum(open_, close) + wick_up, high)
    bar_low = np.maximum(np.minimum(open_, close) - wick_down, low)
    rows = np.arange(n)
    bar_high[rows, np.argmax(bar_high, axis=1)] = hours.high
    bar_low[rows, np.argmin(bar_low, axis=1)] = hours.low

    weights = np.cumsum(-np.log(uniforms(seed, keys, 5, PARTS)), axis=1)
    filled = np.floor(hours.volume[:, None] * (weights / weights[:, -1:])).astype(np.int64)
    filled[:, -1] = hours.volume
    volume = np.diff(filled, axis=1, prepend=0)

    times = keys[:, None] + np.arange(PARTS)[None, :] * FIVE_MINUTES_MS
    return Bars(
        times.ravel(), open_.ravel(), bar_high.ravel(), bar_low.ravel(), close.ravel(), volume.ravel(),
        hours.price_decimals, hours.volume_decimals,
    )  # fmt: skip


def unfinished(bar: Bars, elapsed_share: float) -> Bars:
    """Return what is known of a single candle after a share of its time: nothing of the rest shows."""
    moved = np.rint((bar.close - bar.open) * elapsed_share).astype(np.int64)
    close = bar.open + moved
    return Bars(
        bar.open_time, bar.open, np.maximum(bar.open, close), np.minimum(bar.open, close), close,
        np.floor(bar.volume * elapsed_share).astype(np.int64), bar.price_decimals, bar.volume_decimals,
    )  # fmt: skip
