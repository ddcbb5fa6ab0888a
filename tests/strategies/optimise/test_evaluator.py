"""A variation is a backtest: same candles, same fills, same figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from include.strategies.backtest import run_backtest
from include.strategies.costs import TradingCosts
from include.strategies.optimise.evaluator import Evaluator, Terms
from include.strategies.optimise.space import SearchSpace
from include.strategies.optimise.variation import Segment, Variation
from include.strategies.registry import get_strategy, strategy_names
from include.strategies.request import BacktestRequest
from tests.ml.real_candles import at_ms, real_candles


@pytest.mark.parametrize("name", strategy_names())
def test_a_variation_has_the_figures_of_a_backtest_of_its_parameters(name: str, market_data_dir: Path) -> None:
    candles = real_candles(market_data_dir, "BTCUSDT", "2024-07-20", 90)
    costs = TradingCosts(latency_bars=2, short_funding_pct_per_8h=0.01)
    segment = Segment("train", at_ms("2024-06-01"), at_ms("2024-07-11"))
    space = SearchSpace.of(get_strategy(name))
    params = space.params(space.points[-1])
    found = Evaluator(Terms(name, costs, 5_000.0, "both"), candles).evaluate(segment, "key", params)
    backtest = run_backtest(
        BacktestRequest(name, "BTCUSDT", "1h", segment.start_ms, segment.end_ms, params, costs, 5_000.0),
        candles,
        lambda _percent, _details: None,
    )
    assert found.figures["total_trades"] > 0
    assert {key: backtest.results[key] for key in found.figures} == found.figures
    assert found.parameters == backtest.results["parameters_used"]
    equity = np.array([point["equity_usdt"] for point in backtest.equity_curve])
    assert 5_000.0 * np.cumprod(1 + found.daily_returns) == pytest.approx(equity, rel=1e-9)


def test_what_is_remembered_is_what_was_found(market_data_dir: Path) -> None:
    candles = real_candles(market_data_dir, "BTCUSDT", "2024-07-20", 60)
    segment = Segment("train", at_ms("2024-06-20"), at_ms("2024-07-11"))
    space = SearchSpace.of(get_strategy("rsi"))
    found = Evaluator(Terms("rsi", TradingCosts(), 5_000.0, "long"), candles).evaluate(
        segment, "key", space.params(space.points[0])
    )
    again = Variation.from_stored(found.to_stored())
    assert again.to_row() == found.to_row()
    np.testing.assert_array_equal(again.daily_returns, found.daily_returns)
