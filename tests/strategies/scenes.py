"""Small markets made up for one question each."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from include.market.candles import Candles
from include.market.timeframes import timeframe_ms
from include.strategies.costs import TradingCosts
from include.strategies.simulation import Simulation, simulate
from tests.ml.real_candles import at_ms

FREE = TradingCosts(fee_pct=0, spread_pct=0, slippage_pct=0, slippage_atr_pct=0)
START = "2024-03-01"

Bar = Sequence[float]
"""Open, high, low, close, and the volume where it is not 1."""


def market(bars: Sequence[Bar], timeframe: str = "1h", start: str = START) -> Candles:
    """Return candles, one after the other."""
    rows = np.array([[*bar, 1.0][:5] for bar in bars], dtype=np.float64)
    times = at_ms(start) + np.arange(len(rows), dtype=np.int64) * timeframe_ms(timeframe)
    return Candles("TESTUSDT", timeframe, times, *(rows[:, column].copy() for column in range(5)))


def steps(prices: Sequence[float], timeframe: str = "1h", start: str = START) -> Candles:
    """Return candles that go straight from each price to the next."""
    bars = [(a, max(a, b), min(a, b), b) for a, b in itertools.pairwise(prices)]
    return market(bars, timeframe, start)


def standing(price: float, bars: int, timeframe: str = "1h", start: str = START) -> Candles:
    """Return candles of a price that does not move."""
    return market([(price, price, price, price)] * bars, timeframe, start)


def walk(seed: int, bars: int, volatility: float = 0.01, timeframe: str = "1h", start: str = START) -> Candles:
    """Return a random walk with wicks and volumes; opens may jump away from the close before."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, volatility, bars)))
    open_ = np.concatenate([[100.0], close[:-1]]) * np.exp(rng.normal(0, volatility / 10, bars))
    high = np.maximum(open_, close) * np.exp(np.abs(rng.normal(0, volatility / 2, bars)))
    low = np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0, volatility / 2, bars)))
    volume = rng.lognormal(3, 1, bars)
    return market(list(np.column_stack([open_, high, low, close, volume])), timeframe, start)


def without(candles: Candles, first: int, count: int) -> Candles:
    """Return the candles with `count` of them missing from number `first` on."""
    kept = np.ones(len(candles), dtype=bool)
    kept[first : first + count] = False
    return Candles(
        candles.symbol, candles.timeframe, candles.open_time[kept], candles.open[kept], candles.high[kept],
        candles.low[kept], candles.close[kept], candles.volume[kept],
    )  # fmt: skip


def joined(*parts: Candles) -> Candles:
    """Return candles one part after the other, as their times say."""
    return Candles(
        parts[0].symbol,
        parts[0].timeframe,
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("open_time", "open", "high", "low", "close", "volume")
        ),
    )


def traded(candles: Candles, wanted: Sequence[int], costs: TradingCosts = FREE, cash: float = 1000.0) -> Simulation:
    """Return what came of the wanted positions; the last one is kept to the end."""
    positions = np.full(len(candles), wanted[-1] if len(wanted) else 0, dtype=np.int8)
    positions[: len(wanted)] = wanted
    return simulate(candles, positions, costs, cash)
