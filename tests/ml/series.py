"""Synthetic candles whose predictability is known: random walks, and walks with a planted signal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from include.market.candles import Candles

BAR_MS = 3_600_000
START_MS = 1_672_531_200_000  # 2023-01-01
SIGMA = 0.005
PLANTED_DRIFT = 0.6
"""Drift per bar, in standard deviations of a bar, that the planted signal announces."""


def random_walk(bars: int, seed: int, symbol: str = "TESTUSDT") -> Candles:
    """Candles of which nothing can be predicted: independent log returns of 0.5 %, independent volume."""
    rng = np.random.default_rng([seed, 1])
    return from_returns(SIGMA * rng.standard_normal(bars), np.exp(0.5 * rng.standard_normal(bars)), seed, symbol)


def planted(bars: int, seed: int, symbol: str = "TESTUSDT") -> Candles:
    """A walk whose drift over the next 8 bars is announced by the volume, which no price indicator shows.

    A hidden state of mean zero that fades over about 12 bars moves the volume of a bar and the return of the next.
    """
    rng = np.random.default_rng([seed, 2])
    fade = np.exp(-1.0 / 12.0)
    state = lfilter([np.sqrt(1.0 - fade**2)], [1.0, -fade], rng.standard_normal(bars))
    drift = PLANTED_DRIFT * np.concatenate([[0.0], np.sign(state[:-1])])
    returns = SIGMA * (drift + rng.standard_normal(bars))
    volume = np.exp(0.8 * np.sign(state) + 0.2 * rng.standard_normal(bars))
    return from_returns(returns, volume, seed, symbol)


def from_returns(
    returns: NDArray[np.float64], relative_volume: NDArray[np.float64], seed: int = 0, symbol: str = "TESTUSDT"
) -> Candles:
    """Candles whose closes have these log returns, with highs and lows that fit them."""
    bars = len(returns)
    rng = np.random.default_rng([seed, 3])
    close = 20_000.0 * np.exp(np.cumsum(returns))
    opened = np.concatenate([[20_000.0], close[:-1]])
    reach = SIGMA * np.abs(rng.standard_normal((2, bars)))
    return Candles(
        symbol=symbol,
        timeframe="1h",
        open_time=START_MS + BAR_MS * np.arange(bars, dtype=np.int64),
        open=opened,
        high=np.maximum(opened, close) * np.exp(reach[0]),
        low=np.minimum(opened, close) * np.exp(-reach[1]),
        close=close,
        volume=1000.0 * relative_volume,
    )
