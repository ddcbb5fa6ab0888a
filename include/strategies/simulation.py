"""One pass over the candles: equity after every bar, and the trades with all that they cost."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from include.market.candles import Candles
from include.strategies.broker import ExitReason, Fill
from include.strategies.costs import TradingCosts
from include.strategies.definition import FloatArray, Indicator, Positions
from include.strategies.playback import UNIT, CostBacktest


@dataclass(frozen=True)
class TradeRecord:
    """A closed trade. Prices are those paid and received, spread and slippage included; times are bars' opens, UTC ms.

    :param size: coins, negative for a short.
    :param pnl_usdt: after fees and funding.
    :param return_pct: `pnl_usdt` in percent of the position's value at entry.
    :param slippage_usdt: what spread and slippage have cost; it is in the prices already.
    """

    entry_time_ms: int
    exit_time_ms: int
    entry_bar: int
    exit_bar: int
    size: float
    entry_price: float
    exit_price: float
    pnl_usdt: float
    return_pct: float
    fees_usdt: float
    funding_usdt: float
    slippage_usdt: float
    exit_reason: ExitReason

    @property
    def duration_h(self) -> float:
        """Hours from the entry's bar to the exit's."""
        return (self.exit_time_ms - self.entry_time_ms) / 3_600_000


@dataclass(frozen=True, eq=False)
class Simulation:
    """What a run left: `equity_usdt` of shape `(n,)` at each bar's close, trades oldest first.

    :param edge_costs: see :func:`include.strategies.playback.edge_costs`.
    """

    candles: Candles
    cash_usdt: float
    equity_usdt: FloatArray
    trades: tuple[TradeRecord, ...]
    ruined: bool
    edge_costs: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class PlayedSimulation(Simulation):
    """A run with what the report needs.

    :param library_stats: backtesting.py's own statistics, for its plots.
    """

    backtest: CostBacktest
    library_stats: pd.Series


def simulate(
    candles: Candles,
    positions: Positions,
    costs: TradingCosts,
    cash_usdt: float,
    *,
    warm_up: Candles | None = None,
    shown: list[Indicator] | None = None,
    on_bar: Callable[[int], None] | None = None,
) -> PlayedSimulation:
    """Trade the wanted positions on the candles.

    :param positions: after the close of each of these candles, shape `(n,)`. The account is opened at the first bar's
        close, so the first fill is possible at the second bar's open.
    :param warm_up: candles before them, for the volatility that the first fills are charged for.
    :param on_bar: called with the index of each bar that has been played.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # An account that has lost everything makes the library divide by its zeros; our figures do without those.
        warnings.simplefilter("ignore")
        backtest = CostBacktest(candles, costs, cash_usdt, warm_up)
        stats = backtest.play(positions, shown=shown or [], on_bar=on_bar)
        broker: Any = stats["_strategy"]._broker
    equity = stats["_equity_curve"]["Equity"].to_numpy(dtype=np.float64)
    trades = tuple(trade_record(fill, candles) for fill in broker.fills)
    return PlayedSimulation(
        candles, cash_usdt, equity, trades, bool(equity[-1] <= 0), backtest.edge_costs, backtest, stats
    )


def trade_record(fill: Fill, candles: Candles) -> TradeRecord:
    """Return a closed trade in coins and USDT, with its times."""
    size, entry_price, exit_price = fill.size * UNIT, fill.entry_price / UNIT, fill.exit_price / UNIT
    pnl = fill.size * (fill.exit_price - fill.entry_price) - fill.fees - fill.funding
    return TradeRecord(
        entry_time_ms=int(candles.open_time[fill.entry_bar]),
        exit_time_ms=int(candles.open_time[fill.exit_bar]),
        entry_bar=fill.entry_bar,
        exit_bar=fill.exit_bar,
        size=size,
        entry_price=entry_price,
        exit_price=exit_price,
        pnl_usdt=pnl,
        return_pct=100 * pnl / abs(fill.size * fill.entry_price),
        fees_usdt=fill.fees,
        funding_usdt=fill.funding,
        slippage_usdt=fill.lost,
        exit_reason=fill.reason,
    )
