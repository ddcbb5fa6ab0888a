"""The same positions played by backtesting.py alone: without costs there is nothing that our broker adds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from backtesting import Strategy
from backtesting.lib import FractionalBacktest

from include.market.candles import Candles
from include.strategies.definition import Positions
from include.strategies.positions import wanted_positions
from include.strategies.registry import get_strategy, parse_strategy_params, strategy_names
from include.strategies.simulation import simulate
from tests.ml.real_candles import real_candles
from tests.strategies.scenes import FREE

CASH = 10_000.0
pytestmark = pytest.mark.filterwarnings("ignore:DatetimeIndex.dayofweek")


class Plain(Strategy):
    """As somebody would write it who has only the library."""

    wanted: Positions = np.empty(0, dtype=np.int8)

    def init(self) -> None:
        pass

    def next(self) -> None:
        target = int(self.wanted[len(self.data) - 1])
        held = int(np.sign(self.position.size))
        if target != held:
            self.position.close()
            if target > 0:
                self.buy()
            elif target < 0:
                self.sell()


def bare_run(candles: Candles, wanted: Positions) -> pd.Series:
    frame = pd.DataFrame(
        {"Open": candles.open, "High": candles.high, "Low": candles.low, "Close": candles.close,
         "Volume": candles.volume},
        index=pd.to_datetime(candles.open_time, unit="ms"),
    )  # fmt: skip
    return FractionalBacktest(frame, Plain, cash=CASH).run(wanted=wanted)


@pytest.mark.parametrize("strategy", strategy_names())
def test_without_costs_trades_and_equity_are_the_librarys_own(market_data_dir: Path, strategy: str) -> None:
    candles = real_candles(market_data_dir, "BTCUSDT", "2024-12-01", 90)
    wanted = wanted_positions(get_strategy(strategy), parse_strategy_params(strategy, {}), candles)
    # The library trades no decision of the first bar, and leaves open what our broker closes at the end.
    wanted[0], wanted[-3:] = 0, 0
    ours, bare = simulate(candles, wanted, FREE, CASH), bare_run(candles, wanted)
    theirs = bare["_trades"].sort_values("EntryBar")
    assert len(theirs) > 10
    for name, column in (("entry_bar", "EntryBar"), ("exit_bar", "ExitBar")):
        assert [getattr(trade, name) for trade in ours.trades] == theirs[column].tolist()
    for name, column in (("entry_price", "EntryPrice"), ("exit_price", "ExitPrice"), ("size", "Size")):
        assert [getattr(trade, name) for trade in ours.trades] == pytest.approx(theirs[column].tolist(), rel=1e-9)
    np.testing.assert_allclose(ours.equity_usdt, bare["_equity_curve"]["Equity"], rtol=1e-9)


def test_every_fill_is_at_the_open_of_the_bar_after_the_decision(market_data_dir: Path) -> None:
    candles = real_candles(market_data_dir, "ETHUSDT", "2024-12-01", 60)
    wanted = wanted_positions(get_strategy("macd"), parse_strategy_params("macd", {}), candles)
    turns = np.flatnonzero(np.diff(wanted, prepend=0))
    trades = simulate(candles, wanted, FREE, CASH).trades
    assert [trade.entry_bar for trade in trades] == (turns + 1).tolist()[: len(trades)]
    assert [trade.entry_price for trade in trades] == pytest.approx(candles.open[turns + 1][: len(trades)].tolist())
