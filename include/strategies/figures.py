"""The figures of a backtest, explained for readers in `docs/backtests.md`; what has no value is None, with a reason."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from include.strategies.daily import DailyEquity, daily_equity
from include.strategies.drawdown import drawdown
from include.strategies.ratios import annual_return_pct, sharpe_ratio, sortino_ratio
from include.strategies.simulation import Simulation, TradeRecord

DECIMALS = 6

WHY_NONE = {
    "sharpe_ratio": "fewer than two different daily returns, so their spread is not known",
    "sortino_ratio": "no losing day",
    "calmar_ratio": "no drawdown, or a yearly return beyond all numbers",
    "annual_return_pct": "the compounded return of a year is beyond all numbers",
    "profit_factor": "no losing trade",
    "win_rate": "no trade",
    "avg_trade_duration_hours": "no trade",
    "avg_trade_pct": "no trade",
    "best_trade_pct": "no trade",
    "worst_trade_pct": "no trade",
}


@dataclass(frozen=True)
class Figures:
    """The figures of one run. Names without a unit are the specification's: percentages and hours as its text says.

    :param total_trades, winning_trades, losing_trades: closed trades; one that earned nothing has lost.
    :param win_rate: percent of the trades that earned something after all costs.
    :param total_return: percent, of the initial cash.
    :param max_drawdown: percent below the highest equity so far, at bars' closes.
    :param profit_factor: what winners earned over what losers lost, after costs.
    :param exposure_pct: bars with a position, of the bars that could have one.
    :param buy_and_hold_return_pct: of the coin bought at the first open and sold at the last close, at the same costs.
    :param turnover: value of all fills over the initial cash.
    """

    total_trades: int
    winning_trades: int
    losing_trades: int
    win_rate: float | None
    total_return: float
    annual_return_pct: float | None
    sharpe_ratio: float | None
    sortino_ratio: float | None
    calmar_ratio: float | None
    max_drawdown: float
    time_under_water_pct: float
    longest_time_under_water_days: float
    profit_factor: float | None
    avg_trade_duration_hours: float | None
    avg_trade_pct: float | None
    best_trade_pct: float | None
    worst_trade_pct: float | None
    longest_losing_run: int
    exposure_pct: float
    buy_and_hold_return_pct: float
    fees_usdt: float
    slippage_usdt: float
    funding_usdt: float
    turnover: float
    final_equity_usdt: float
    ruined: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the figures, rounded to 6 decimals, and `undefined`: why a figure has no value."""
        values = {name: _rounded(getattr(self, name)) for name in self.__dataclass_fields__}
        return {**values, "undefined": {name: WHY_NONE[name] for name, value in values.items() if value is None}}


def measure(simulation: Simulation, start_ms: int, end_ms: int, daily: DailyEquity | None = None) -> Figures:
    """Return the figures of a run over the days `[start_ms, end_ms)`.

    :param daily: its daily equity, where that is known already.
    """
    candles, equity, cash, trades = (
        simulation.candles, simulation.equity_usdt, simulation.cash_usdt, simulation.trades
    )  # fmt: skip
    daily = daily or daily_equity(candles.open_time, equity, cash, start_ms, end_ms)
    final = float(equity[-1])
    pnls = [trade.pnl_usdt for trade in trades]
    won = sum(pnl > 0 for pnl in pnls)
    lost_usdt = -math.fsum(pnl for pnl in pnls if pnl < 0)
    fall = drawdown(equity, cash, candles.open_time)
    days = (end_ms - start_ms) // 86_400_000
    annual = annual_return_pct(cash, final, days)
    returns = [trade.return_pct for trade in trades]
    held = np.zeros(len(candles), dtype=bool)
    for trade in trades:
        # An exit at the open leaves its bar free; one at the end or by force comes later in it.
        held[trade.entry_bar : trade.exit_bar + (trade.exit_reason != "signal")] = True
    return Figures(
        total_trades=len(trades),
        winning_trades=won,
        losing_trades=len(trades) - won,
        win_rate=100 * won / len(trades) if trades else None,
        total_return=100 * (final / cash - 1),
        annual_return_pct=annual,
        sharpe_ratio=sharpe_ratio(daily.returns),
        sortino_ratio=sortino_ratio(daily.returns),
        calmar_ratio=annual / fall.max_pct if annual is not None and fall.max_pct > 0 else None,
        max_drawdown=fall.max_pct,
        time_under_water_pct=fall.time_under_water_pct,
        longest_time_under_water_days=fall.longest_days,
        profit_factor=math.fsum(pnl for pnl in pnls if pnl > 0) / lost_usdt if lost_usdt > 0 else None,
        avg_trade_duration_hours=math.fsum(trade.duration_h for trade in trades) / len(trades) if trades else None,
        avg_trade_pct=math.fsum(returns) / len(returns) if returns else None,
        best_trade_pct=max(returns, default=None),
        worst_trade_pct=min(returns, default=None),
        longest_losing_run=longest_losing_run(trades),
        exposure_pct=float(100 * held[1:].mean()) if len(held) > 1 else 0.0,
        buy_and_hold_return_pct=buy_and_hold_return_pct(simulation),
        fees_usdt=math.fsum(trade.fees_usdt for trade in trades),
        slippage_usdt=math.fsum(trade.slippage_usdt for trade in trades),
        funding_usdt=math.fsum(trade.funding_usdt for trade in trades),
        turnover=math.fsum(abs(trade.size) * (trade.entry_price + trade.exit_price) for trade in trades) / cash,
        final_equity_usdt=final,
        ruined=simulation.ruined,
    )


def longest_losing_run(trades: Sequence[TradeRecord]) -> int:
    """Return the most trades in a row that earned nothing."""
    longest = run = 0
    for trade in trades:
        run = 0 if trade.pnl_usdt > 0 else run + 1
        longest = max(longest, run)
    return longest


def buy_and_hold_return_pct(simulation: Simulation) -> float:
    """Return what the coin alone would have earned: bought at the first possible open, sold at the last close.

    That is the second bar's open, or the next that was traded, as for any order. Both fills have their costs.
    """
    candles, (first, last, fee) = simulation.candles, simulation.edge_costs
    traded = np.flatnonzero(candles.volume[1:] > 0)
    if not len(traded):
        return 0.0
    bought = candles.open[1 + traded[0]] * (1 + first) * (1 + fee)
    sold = candles.close[-1] * (1 - last) * (1 - fee)
    return float(100 * (sold / bought - 1))


def _rounded(value: Any) -> Any:
    return round(value, DECIMALS) if isinstance(value, float) else value
