"""Made-up prices whose truth is known: without any edge, and with a planted one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from include.market.candles import Candles
from include.market.timeframes import DAY_MS

START_MS = 1_700_006_400_000
"""2023-11-15, 00:00 UTC."""
HOUR_MS = 3_600_000
STEPS = 6
"""Prices within an hour, from which its high and low are taken."""
VOLUME = 1000.0
HOURLY_VOLATILITY = 0.01


def candles_of(log_price: NDArray[np.float64], warm_up_days: int, symbol: str = "MADEUSDT") -> Candles:
    """Return hourly candles of a path with `STEPS` prices an hour after the first; the period begins at `START_MS`."""
    path = np.exp(log_price)
    hours = (len(path) - 1) // STEPS
    inside = path[1:].reshape(hours, STEPS)
    opened = path[:-1:STEPS]
    return Candles(
        symbol,
        "1h",
        START_MS - warm_up_days * DAY_MS + HOUR_MS * np.arange(hours, dtype=np.int64),
        opened,
        np.maximum(inside.max(axis=1), opened),
        np.minimum(inside.min(axis=1), opened),
        inside[:, -1],
        np.full(hours, VOLUME),
    )


def martingale(seed: int, days: int, warm_up_days: int = 10) -> Candles:
    """Return prices whose expectation is always the present one: nobody can earn with them, before costs."""
    steps = (days + warm_up_days) * 24 * STEPS
    volatility = HOURLY_VOLATILITY / np.sqrt(STEPS)
    moves = np.random.default_rng([seed, 1]).normal(-(volatility**2) / 2, volatility, steps)
    return candles_of(np.log(100.0) + np.concatenate([[0.0], np.cumsum(moves)]), warm_up_days)


def mean_reverting(
    seed: int, days: int, warm_up_days: int = 10, *, deviation: float = 0.03, half_life_h: float = 10.0
) -> Candles:
    """Return a slow martingale plus a deviation that fades: what has fallen fast rises again.

    :param deviation: standard deviation of the fading part, as a share of the price.
    """
    steps = (days + warm_up_days) * 24 * STEPS
    rng = np.random.default_rng([seed, 2])
    keeps = 0.5 ** (1 / (half_life_h * STEPS))
    shocks = rng.normal(0.0, deviation * np.sqrt(1 - keeps**2), steps)
    fading = np.concatenate([[0.0], lfilter([1.0], [1.0, -keeps], shocks)])
    slow = HOURLY_VOLATILITY / 3 / np.sqrt(STEPS)
    wandering = np.cumsum(rng.normal(-(slow**2) / 2, slow, steps))
    return candles_of(np.log(100.0) + fading + np.concatenate([[0.0], wandering]), warm_up_days)
