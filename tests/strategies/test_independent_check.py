"""Every trade and the equity, computed a second time by a plain loop over the bars, on real hourly candles."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from include.market.candles import Candles
from include.strategies.costs import TradingCosts
from include.strategies.positions import wanted_positions
from include.strategies.registry import get_strategy, parse_strategy_params, strategy_names
from include.strategies.simulation import Simulation, simulate
from tests.ml.real_candles import real_candles
from tests.strategies import plain_loop
from tests.strategies.plain_loop import Bars, PlainRun

EXACT = 1e-9
CASH = 10_000.0
SYMBOLS = ("BTCUSDT", "ETHUSDT")


@dataclass(frozen=True)
class Twice:
    """One run by the product and by the plain loop."""

    ours: Simulation
    plain: PlainRun


def run_twice(
    candles: Candles, strategy: str, costs: TradingCosts, direction: Any = "both", warm_up: int = 300, **params: Any
) -> Twice:
    """Trade all but the first `warm_up` candles."""
    definition, typed = get_strategy(strategy), parse_strategy_params(strategy, params)
    before, traded = candles.tail(len(candles)), candles.tail(len(candles) - warm_up)
    before = candles.between(None, int(traded.open_time[0]))
    ours = simulate(
        traded, wanted_positions(definition, typed, candles, direction)[warm_up:], costs, CASH, warm_up=before
    )
    wanted = plain_loop.one_sided(plain_loop.WANTS[strategy](Bars.of(candles), **typed.model_dump()), direction)
    plain = plain_loop.trade(Bars.of(traded), wanted[warm_up:], costs, CASH, Bars.of(before))
    return Twice(ours, plain)


def assert_agree(both: Twice) -> None:
    ours, plain = both.ours, both.plain
    assert [(t.entry_bar, t.exit_bar, t.exit_reason) for t in ours.trades] == [
        (t.entry_bar, t.exit_bar, t.why) for t in plain.trades
    ]
    for mine, theirs in zip(ours.trades, plain.trades, strict=True):
        value = abs(theirs.size) * theirs.entry_price
        assert mine.size == pytest.approx(theirs.size, rel=EXACT)
        assert mine.entry_price == pytest.approx(theirs.entry_price, rel=EXACT)
        assert mine.exit_price == pytest.approx(theirs.exit_price, rel=EXACT)
        assert mine.fees_usdt == pytest.approx(theirs.fees, rel=EXACT)
        assert mine.funding_usdt == pytest.approx(theirs.funding, rel=EXACT, abs=EXACT * value)
        assert mine.pnl_usdt == pytest.approx(theirs.pnl, rel=EXACT, abs=EXACT * value)
    np.testing.assert_allclose(ours.equity_usdt, plain.equity, rtol=EXACT, atol=EXACT)


VARIANTS: dict[str, dict[str, Any]] = {
    "latency": {"latency_bars": 3},
    "leverage": {"leverage": 3},
    "half": {"position_pct": 50},
    "dear": {"fee_pct": 0.3, "spread_pct": 0.4, "slippage_pct": 0.15, "slippage_atr_pct": 25},
    "free": {"fee_pct": 0, "spread_pct": 0, "slippage_pct": 0, "slippage_atr_pct": 0},
    "funding": {"short_funding_pct_per_8h": 0.05},
    "paid funding": {"short_funding_pct_per_8h": -0.03, "latency_bars": 2, "leverage": 1.7, "position_pct": 80},
}


@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize("strategy", strategy_names())
def test_a_year_of_trades_and_the_final_equity_agree(market_data_dir: Path, strategy: str, symbol: str) -> None:
    both = run_twice(real_candles(market_data_dir, symbol, "2025-01-01", 366), strategy, TradingCosts())
    assert len(both.plain.trades) > 50
    assert_agree(both)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize("strategy", strategy_names())
def test_they_agree_on_other_terms_of_trading(market_data_dir: Path, strategy: str, symbol: str, variant: str) -> None:
    candles = real_candles(market_data_dir, symbol, "2024-09-01", 75)
    both = run_twice(candles, strategy, TradingCosts(**VARIANTS[variant]))
    assert len(both.plain.trades) > 5
    assert_agree(both)


@pytest.mark.parametrize("direction", ["long", "short"])
@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize("strategy", strategy_names())
def test_they_agree_in_one_direction(market_data_dir: Path, strategy: str, symbol: str, direction: str) -> None:
    candles = real_candles(market_data_dir, symbol, "2023-04-01", 75)
    both = run_twice(candles, strategy, TradingCosts(short_funding_pct_per_8h=0.01), direction)
    sign = 1 if direction == "long" else -1
    assert {np.sign(trade.size) for trade in both.plain.trades} == {sign}
    assert_agree(both)


@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize("strategy", strategy_names())
def test_they_agree_where_the_account_is_liquidated(market_data_dir: Path, strategy: str, symbol: str) -> None:
    candles = real_candles(market_data_dir, symbol, "2024-09-01", 100)
    both = run_twice(candles, strategy, TradingCosts(leverage=25))
    assert both.plain.trades[-1].why == "liquidation"
    assert both.plain.equity[-1] == 0
    assert_agree(both)


@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize("strategy", strategy_names())
def test_they_agree_over_bars_without_volume(market_data_dir: Path, strategy: str, symbol: str) -> None:
    candles = real_candles(market_data_dir, symbol, "2024-09-01", 75)
    volume = candles.volume.copy()
    quiet = np.random.default_rng(5).random(len(volume)) < 0.3
    volume[quiet] = 0.0
    volume[700:730] = 0.0
    costs = TradingCosts(latency_bars=2, short_funding_pct_per_8h=0.01)
    both = run_twice(dataclasses.replace(candles, volume=volume), strategy, costs)
    filled = {trade.entry_bar for trade in both.ours.trades}
    assert filled
    assert not quiet[300:][sorted(filled)].any()
    assert_agree(both)


@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize("strategy", strategy_names())
def test_they_agree_over_missing_bars(market_data_dir: Path, strategy: str, symbol: str) -> None:
    candles = real_candles(market_data_dir, symbol, "2024-09-01", 90)
    rows = np.ones(len(candles), dtype=bool)
    for first, bars in ((500, 1), (800, 7), (1100, 30), (1500, 100)):
        rows[first : first + bars] = False
    arrays = {
        name: getattr(candles, name)[rows] for name in ("open_time", "open", "high", "low", "close", "volume")
    }  # fmt: skip
    costs = TradingCosts(leverage=2, short_funding_pct_per_8h=0.02)
    both = run_twice(dataclasses.replace(candles, **arrays), strategy, costs)
    assert len(both.plain.trades) > 5
    assert_agree(both)


@pytest.mark.parametrize(
    ("strategy", "params"),
    [
        ("rsi", {"rsi_period": 2, "rsi_overbought": 90, "rsi_oversold": 10}),
        ("rsi", {"rsi_period": 60, "rsi_overbought": 55.5, "rsi_oversold": 44.5}),
        ("rsi", {"rsi_overbought": 85, "rsi_oversold": 40}),
        ("macd", {"macd_fast": 2, "macd_slow": 3, "macd_signal": 2}),
        ("macd", {"macd_fast": 40, "macd_slow": 150, "macd_signal": 30}),
        ("bollinger", {"bb_period": 2, "bb_std": 0.5}),
        ("bollinger", {"bb_period": 100, "bb_std": 1.25}),
        ("volume", {"volume_period": 2, "volume_spike": 1.01}),
        ("volume", {"volume_period": 90, "volume_spike": 3.5}),
    ],
)
def test_they_agree_with_other_parameters(market_data_dir: Path, strategy: str, params: dict[str, Any]) -> None:
    candles = real_candles(market_data_dir, "ETHUSDT", "2024-09-01", 75)
    both = run_twice(candles, strategy, TradingCosts(), **params)
    assert len(both.plain.trades) > 5
    assert_agree(both)


def test_they_agree_where_nothing_was_traded_before(market_data_dir: Path) -> None:
    candles = real_candles(market_data_dir, "BTCUSDT", "2024-09-01", 40)
    assert_agree(run_twice(candles, "macd", TradingCosts(slippage_atr_pct=50), warm_up=0))
