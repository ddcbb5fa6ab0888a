"""The daily portfolio report: pure, from the engine's portfolio and its closed trades.

Counts, win rate and average profit come from the closed trades: the engine's own `total_trades` and `win_rate` count
open trades, too. Where a number cannot be had it is None and `missing` says why; it is never 0. Where the engine's two
answers contradict each other, `disagreements` says so.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pydantic import AwareDatetime

from include.errors import BadInputError
from include.trading.equity_curve import EquityCurve, equity_curve
from include.trading.performance_model import Record
from include.trading.portfolio import Portfolio
from include.trading.strategy_names import UNATTRIBUTED
from include.trading.trades import Trade, closed_between

NO_STRATEGY = "The engine's trades carry no strategy name, so no strategy can be told from another."
SOME_STRATEGY = "Trades without a strategy name are counted as unattributed."
KEPT_TRADES = 10_000
"""The engine reloads at most so many trades after a restart."""
DECIMALS = 6
PORTFOLIO_FIGURES = (
    "balance", "total_return_pct", "equity", "unrealized_pnl_usdt", "max_drawdown_usdt", "max_drawdown_pct",
)  # fmt: skip
TRADE_FIGURES = ("total_trades", "winning_trades", "losing_trades", "win_rate", "avg_profit_per_trade", "strategies")


class StrategyFigures(Record):
    """One strategy's closed trades: `win_rate` and `profit` (average return per trade) in percent."""

    trades: int
    win_rate: float
    profit: float
    pnl_usdt: float | None


class DayTrading(Record):
    """The trades that closed on one UTC day; without any, `win_rate` is None and `pnl_usdt` truly 0."""

    date: dt.date
    trades: int
    win_rate: float | None
    pnl_usdt: float | None


class PortfolioReport(Record):
    """One report. Money in USDT, rates in percent; `avg_profit_per_trade` in percent of the notional, after fees.

    `total_trades` are the closed ones; `open_trades` is what the engine counts beyond them. `status` is complete,
    partial (one of the engine's two answers is missing) or unavailable (both are). `missing` maps a figure, or
    `portfolio` and `trades`, to the reason.
    """

    status: Literal["complete", "partial", "unavailable"]
    date: dt.date
    generated_at: AwareDatetime
    balance: float | None
    total_return_pct: float | None
    total_trades: int | None
    winning_trades: int | None
    losing_trades: int | None
    breakeven_trades: int | None
    win_rate: float | None
    avg_profit_per_trade: float | None
    strategies: dict[str, StrategyFigures] | None
    strategies_note: str | None
    equity: float | None
    unrealized_pnl_usdt: float | None
    open_trades: int | None
    yesterday: DayTrading | None
    max_drawdown_usdt: float | None
    max_drawdown_pct: float | None
    first_trade_at: AwareDatetime | None
    last_trade_at: AwareDatetime | None
    missing: dict[str, str]
    disagreements: tuple[str, ...]
    curve: EquityCurve
    source: str


def build_portfolio_report(
    portfolio: Portfolio | None,
    trades: Sequence[Trade] | None,
    now: datetime,
    *,
    problems: Mapping[str, str] | None = None,
    stored_equity: Sequence[Mapping[str, Any]] = (),
    source: str = "the trading bot's core engine",
) -> PortfolioReport:
    """Return the report of this moment.

    :param portfolio: None when the engine did not answer; `problems["portfolio"]` says why. The same for `trades`.
    :param now: aware UTC; "yesterday" is the UTC day before it.
    :raises BadInputError: for a `now` without a zone.
    """
    if now.tzinfo is None:
        raise BadInputError(f"now must carry a time zone, got {now!r}")
    now = now.astimezone(UTC)
    said = dict(problems or {})
    missing: dict[str, str] = {}
    if portfolio is None:
        missing |= dict.fromkeys(("portfolio", *PORTFOLIO_FIGURES), said.get("portfolio", "the engine did not answer"))
    if trades is None:
        missing |= dict.fromkeys(("trades", *TRADE_FIGURES), said.get("trades", "the engine did not answer"))
    closed = None if trades is None else [trade for trade in trades if trade.close_time <= now]
    won = None if closed is None else sum(trade.won for trade in closed)
    lost = None if closed is None else sum(trade.lost for trade in closed)
    if closed == []:
        missing["win_rate"] = missing["avg_profit_per_trade"] = "no trade has closed so far"
    open_trades = _open_trades(portfolio, closed, missing)
    return PortfolioReport(
        status=_status(portfolio, trades),
        date=now.date(),
        generated_at=now,
        balance=portfolio.current_balance if portfolio else None,
        total_return_pct=portfolio.total_pnl_percentage if portfolio else None,
        total_trades=None if closed is None else len(closed),
        winning_trades=won,
        losing_trades=lost,
        breakeven_trades=None if closed is None or won is None or lost is None else len(closed) - won - lost,
        win_rate=_win_rate(closed),
        avg_profit_per_trade=_avg_return(closed),
        strategies=None if closed is None else _strategies(closed),
        strategies_note=_strategies_note(closed),
        equity=portfolio.equity if portfolio else None,
        unrealized_pnl_usdt=round(portfolio.equity - portfolio.current_balance, DECIMALS) if portfolio else None,
        open_trades=open_trades,
        yesterday=None if closed is None else _day(closed, now.date() - timedelta(days=1)),
        max_drawdown_usdt=portfolio.max_drawdown if portfolio else None,
        max_drawdown_pct=portfolio.max_drawdown_percentage if portfolio else None,
        first_trade_at=closed[0].close_time if closed else None,
        last_trade_at=closed[-1].close_time if closed else None,
        missing=missing,
        disagreements=tuple(_disagreements(portfolio, closed)) if portfolio and closed is not None else (),
        curve=equity_curve(portfolio.current_balance if portfolio else None, closed, stored_equity, now),
        source=source,
    )


def _status(portfolio: object | None, trades: object | None) -> Literal["complete", "partial", "unavailable"]:
    if portfolio is None and trades is None:
        return "unavailable"
    return "partial" if portfolio is None or trades is None else "complete"


def _win_rate(trades: Sequence[Trade] | None) -> float | None:
    return round(100 * sum(trade.won for trade in trades) / len(trades), DECIMALS) if trades else None


def _avg_return(trades: Sequence[Trade] | None) -> float | None:
    return round(math.fsum(trade.return_pct for trade in trades) / len(trades), DECIMALS) if trades else None


def _pnl(trades: Sequence[Trade]) -> float | None:
    """Return the sum, or None when any trade lacks its pnl: a partial sum of money would mislead."""
    pnls = [trade.pnl_usdt for trade in trades]
    return None if None in pnls else round(math.fsum(pnl for pnl in pnls if pnl is not None), DECIMALS)


def _day(trades: Sequence[Trade], day: dt.date) -> DayTrading:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    of_day = closed_between(trades, start, start + timedelta(days=1))
    return DayTrading(date=day, trades=len(of_day), win_rate=_win_rate(of_day), pnl_usdt=_pnl(of_day))


def _strategies(trades: Sequence[Trade]) -> dict[str, StrategyFigures]:
    groups: dict[str, list[Trade]] = {}
    for trade in trades:
        groups.setdefault(trade.strategy or UNATTRIBUTED, []).append(trade)
    ordered = sorted(groups, key=lambda name: (name == UNATTRIBUTED, -len(groups[name]), name))
    return {
        name: StrategyFigures(
            trades=len(groups[name]),
            win_rate=_win_rate(groups[name]) or 0.0,
            profit=_avg_return(groups[name]) or 0.0,
            pnl_usdt=_pnl(groups[name]),
        )
        for name in ordered
    }


def _strategies_note(trades: Sequence[Trade] | None) -> str | None:
    named = [trade.strategy is not None for trade in trades or ()]
    if not named or all(named):
        return None
    return SOME_STRATEGY if any(named) else NO_STRATEGY


def _open_trades(portfolio: Portfolio | None, closed: Sequence[Trade] | None, missing: dict[str, str]) -> int | None:
    if portfolio is None or closed is None:
        missing["open_trades"] = "it takes both answers of the engine to tell open from closed trades"
        return None
    if portfolio.total_trades < len(closed):
        missing["open_trades"] = "the engine counts fewer trades than it lists as closed"
        return None
    return portfolio.total_trades - len(closed)


def _disagreements(portfolio: Portfolio, closed: Sequence[Trade]) -> list[str]:
    """Compare what the engine says in two places. Its cash and its trades are read at slightly different moments."""
    said = []
    if portfolio.total_trades < len(closed):
        said.append(
            f"The engine counts {portfolio.total_trades} trades, open ones included, but lists {len(closed)} closed "
            "ones."
        )
    wins = portfolio.win_rate / 100 * portfolio.total_trades
    won = sum(trade.won for trade in closed)
    if abs(wins - won) > 1 and portfolio.total_trades >= len(closed):
        said.append(
            f"The engine's win rate of {portfolio.win_rate:.2f} % of {portfolio.total_trades} trades means {wins:.0f} "
            f"wins, but its closed trades hold {won}."
        )
    realised = portfolio.total_pnl - (portfolio.equity - portfolio.current_balance)
    listed = _pnl(closed)
    tolerance = max(1.0, abs(portfolio.current_balance) * 0.001)
    if listed is not None and abs(realised - listed) > tolerance:
        limit = f" (it keeps at most {KEPT_TRADES:,} trades)" if len(closed) >= KEPT_TRADES else ""
        said.append(
            f"The engine's realised profit is {realised:,.2f} USDT, but its closed trades add up to {listed:,.2f} "
            f"USDT{limit}."
        )
    return said


def portfolio_result(report: PortfolioReport, task_id: str) -> dict[str, Any]:
    """Return the result of the run: `status`, `report` with the specified keys first."""
    status = {"complete": "success", "partial": "partial", "unavailable": "error"}[report.status]
    return {"status": status, "task_id": task_id, "report": report.model_dump(mode="json")}


def portfolio_document(report: PortfolioReport) -> dict[str, Any]:
    """Return the document for `portfolio_reports`; the times stay times."""
    shown = report.model_dump(mode="json")
    return {**shown, "timestamp": report.generated_at, "generated_at": report.generated_at}
