"""Candles that no market has shown but that pass `check_candles`: gaps, crashes, stand-stills, dead volume."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from include.market.candles import Candles, check_candles
from tests.ml.series import from_returns

FIELDS = ("open", "high", "low", "close", "volume")
SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def valid_candles(draw: st.DrawFn, least: int, most: int) -> Candles:
    """Return a series of `least` to `most` candles after gaps; its numbers follow from what hypothesis has drawn."""
    bars = draw(st.integers(least, most))
    rng = np.random.default_rng(draw(SEEDS))
    missing = draw(st.integers(0, 60))
    sigma = draw(st.sampled_from([1e-7, 0.001, 0.01, 0.2]))
    returns = sigma * rng.standard_normal(bars + missing)
    for _ in range(draw(st.integers(0, 3))):  # crashes and their reversals
        at = draw(st.integers(0, bars - 1))
        returns[at] += draw(st.floats(-8.0, 8.0))
    if draw(st.booleans()):  # a price that stands still
        at = draw(st.integers(0, bars - 1))
        returns[at : at + draw(st.integers(1, 200))] = 0.0
    volume = np.exp(draw(st.sampled_from([0.1, 1.0, 5.0])) * rng.standard_normal(bars + missing))
    volume[rng.random(bars + missing) < draw(st.sampled_from([0.0, 0.1, 1.0]))] = 0.0
    candles = from_returns(returns, volume, seed=draw(st.integers(0, 1000)))
    wick = np.exp(np.where(rng.random(bars + missing) < 0.02, draw(st.floats(0.0, 3.0)), 0.0))
    scale = draw(st.sampled_from([1e-9, 1.0, 1e6]))
    prices = {name: scale * getattr(candles, name) for name in ("open", "high", "low", "close")}
    prices["high"], prices["low"] = prices["high"] * wick, prices["low"] / wick
    candles = replace(candles, **prices)
    dropped = rng.permutation(bars + missing)[:missing]
    result = _without(candles, dropped)
    check_candles(result)
    return result


@st.composite
def candles_and_another_future(draw: st.DrawFn, least: int, most: int) -> tuple[Candles, Candles, int]:
    """Return a series, the same up to and including a bar `t`, and `t`: after it everything differs but the times."""
    candles, other = draw(valid_candles(least, most)), draw(valid_candles(most, most))
    t = draw(st.integers(0, len(candles) - 1))
    return candles, with_another_future(candles, other, t), t


def with_another_future(candles: Candles, other: Candles, t: int) -> Candles:
    """Return `candles` with the numbers of `other` after bar `t`."""
    later = np.arange(len(candles)) > t
    mixed = {
        name: np.where(later, getattr(other, name)[: len(candles)] * 1.37, getattr(candles, name)) for name in FIELDS
    }
    result = replace(candles, **mixed)
    check_candles(result)
    return result


def _without(candles: Candles, dropped: np.ndarray) -> Candles:
    kept = np.setdiff1d(np.arange(len(candles)), dropped)
    return replace(candles, **{name: getattr(candles, name)[kept] for name in ("open_time", *FIELDS)})
