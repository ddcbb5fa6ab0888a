"""The quick run against the run that plays every bar: equal to the last digit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from include.market.candles import Candles
from include.strategies.costs import TradingCosts
from include.strategies.definition import Positions
from include.strategies.optimise.quick_run import QuickRuns
from include.strategies.registry import get_strategy, parse_strategy_params, strategy_names
from include.strategies.simulation import simulate
from tests.ml.real_candles import real_candles

WARM_UP = 100
COSTS = {
    "default": TradingCosts(),
    "free": TradingCosts(0.0, 0.0, 0.0, 0.0),
    "leveraged": TradingCosts(leverage=20, short_funding_pct_per_8h=0.02),
    "late": TradingCosts(latency_bars=3, position_pct=30, leverage=5, short_funding_pct_per_8h=-0.05),
}


def assert_equal(candles: Candles, positions: Positions, costs: TradingCosts, trades: int = 1) -> None:
    """Play both ways and compare everything that a run leaves."""
    warm_up, rest = candles.between(None, int(candles.open_time[WARM_UP])), candles.tail(len(candles) - WARM_UP)
    played = simulate(rest, positions[WARM_UP:], costs, 10_000.0, warm_up=warm_up)
    quick = QuickRuns(rest, costs, 10_000.0).run(positions[WARM_UP:], warm_up)
    assert len(played.trades) >= trades
    assert quick.trades == played.trades
    np.testing.assert_array_equal(quick.equity_usdt, played.equity_usdt)
    assert (quick.ruined, quick.edge_costs) == (played.ruined, played.edge_costs)


@pytest.mark.parametrize("costs", COSTS)
@pytest.mark.parametrize("name", strategy_names())
def test_on_real_candles_every_strategy_and_all_costs(name: str, costs: str, market_data_dir: Path) -> None:
    candles = real_candles(market_data_dir, "ETHUSDT", "2022-07-01", 60)
    positions = get_strategy(name).positions(candles, parse_strategy_params(name, {}))
    assert_equal(candles, positions, COSTS[costs])


def test_a_symbol_that_dies_ruins_both_alike(market_data_dir: Path) -> None:
    candles = real_candles(market_data_dir, "ETHUSDT", "2022-07-01", 60)
    fall = np.ones(len(candles))
    fall[700:724] = np.geomspace(1, 1e-3, 24)
    fall[724:] = 1e-3
    dead = replace(candles, **{name: getattr(candles, name) * fall for name in ("open", "high", "low", "close")})
    for side in (1, -1):
        positions = np.full(len(candles), side, dtype=np.int8)
        assert_equal(dead, positions, TradingCosts())
        assert_equal(dead, positions, TradingCosts(leverage=3))


def test_a_rise_that_liquidates_a_short_within_the_bar(market_data_dir: Path) -> None:
    candles = real_candles(market_data_dir, "ETHUSDT", "2022-07-01", 60)
    high = candles.high.copy()
    high[900] *= 4
    positions = np.full(len(candles), -1, dtype=np.int8)
    assert_equal(replace(candles, high=high), positions, TradingCosts(short_funding_pct_per_8h=0.01))


def test_bars_without_volume_and_outages_are_waited_for_alike(market_data_dir: Path) -> None:
    candles = real_candles(market_data_dir, "ETHUSDT", "2022-07-01", 60)
    rng = np.random.default_rng(3)
    volume = np.where(rng.random(len(candles)) < 0.5, 0.0, candles.volume)
    halted = replace(candles, volume=volume)
    kept = np.sort(rng.permutation(len(candles))[:1100])
    names = ("open_time", "open", "high", "low", "close", "volume")
    gappy = Candles("ETHUSDT", "1h", *(getattr(halted, name)[kept] for name in names))
    positions = np.sign(np.sin(np.arange(len(kept)) / 7)).astype(np.int8)
    assert_equal(gappy, positions, TradingCosts(short_funding_pct_per_8h=0.01), trades=20)


@pytest.mark.parametrize("bars", [1, 2, 3])
def test_series_of_a_few_bars(bars: int, market_data_dir: Path) -> None:
    candles = real_candles(market_data_dir, "ETHUSDT", "2022-07-01", 60).tail(WARM_UP + bars)
    assert_equal(candles, np.ones(len(candles), dtype=np.int8), TradingCosts(), trades=0)
