"""The figures of the last seven days of trading, and their grades.

Pure: trades in, :class:`PerformanceAnalysis` out. Sources: the specification's threshold table for
the daily performance analysis; the Sharpe ratio is W. F. Sharpe's mean over standard deviation
(sample, n - 1) of daily returns with a risk-free rate of zero, annualised with sqrt(365) because
the market never closes.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from include.errors import BadInputError
from include.trading.performance_model import DayFigures, Metrics, PerformanceAnalysis
from include.trading.thresholds import AVG_PROFIT, SHARPE_RATIO, WIN_RATE, Status, Threshold, alert, grade
from include.trading.trades import Trade, closed_between

WINDOW = timedelta(days=7)
HISTORY = 2 * WINDOW
"""How far back trades are read: the window, and the windows that the Sharpe trend looks back over."""
MIN_TRADES = 10
DAYS_PER_YEAR = 365
DECIMALS = 6
"""Figures are rounded once, here, so that 1.5 computed as 1.4999999999999998 is not below 1.5."""


def analyse(trades: Sequence[Trade], now: datetime) -> PerformanceAnalysis:
    """Measure and grade the trades that closed in the seven days before `now`.

    :param trades: any trades, in any order; only those of `[now - 14 days, now)` matter, the older
        half for nothing but the Sharpe trend.
    :param now: aware UTC.
    :raises BadInputError: for a `now` without a zone.
    """
    if now.tzinfo is None:
        raise BadInputError(f"now must carry a time zone, got {now!r}")
    now = now.astimezone(UTC)
    start = now - WINDOW
    window = closed_between(trades, start, now)
    metrics = measure(window, start, now)
    enough = metrics.total_trades >= MIN_TRADES
    judged: list[tuple[Threshold, float | None]] = [
        (WIN_RATE, metrics.win_rate),
        (AVG_PROFIT, metrics.avg_profit_per_trade),
        (SHARPE_RATIO, metrics.sharpe_ratio),
    ]
    grades: dict[str, Status] = {
        threshold.status_key: grade(threshold, value) if enough else "not_available" for threshold, value in judged
    }
    alerts = [alert(threshold, value) for threshold, value in judged] if enough else []
    shortage = (
        f"Not enough data: {metrics.total_trades} trades closed in the last 7 days, at least {MIN_TRADES} are needed"
    )
    return PerformanceAnalysis(
        status="success" if enough else "skipped",
        reason=None if enough else shortage,
        date=now.date(),
        window_start=start,
        window_end=now,
        metrics=metrics,
        grades=grades,
        alerts=tuple(text for text in alerts if text is not None),
        trigger_ai_analysis="critical" in grades.values(),
        overall=_overall(grades) if enough else "NOT_ENOUGH_DATA",
        daily=_trend(trades, window, start, now),
    )


def measure(window: Sequence[Trade], start: datetime, end: datetime) -> Metrics:
    """Return the figures of trades that closed in `[start, end)`; None where there is nothing to measure."""
    sharpe, reason = sharpe_ratio(daily_returns(window, start, end))
    pnls = [trade.pnl_usdt for trade in window]
    return Metrics(
        total_trades=len(window),
        win_rate=_win_rate(window),
        avg_profit_per_trade=_avg_profit(window),
        sharpe_ratio=sharpe,
        sharpe_reason=reason,
        total_pnl_usdt=None if None in pnls else round(math.fsum(pnl for pnl in pnls if pnl is not None), DECIMALS),
    )


def daily_returns(window: Sequence[Trade], start: datetime, end: datetime) -> dict[date, float]:
    """Return the return of each UTC day in `[start, end)`, in percent.

    A day's return is the sum of its trades' returns, each on its own notional; a day without trades
    counts 0. A first or last day of which the window holds only a part counts only if a trade closed
    in that part: an hour without a trade is not a day without one.
    """
    per_day: dict[date, list[float]] = {}
    for trade in window:
        per_day.setdefault(trade.close_time.date(), []).append(trade.return_pct)
    day = start.date() if start == _midnight(start.date()) else start.date() + timedelta(days=1)
    while day < end.date():
        per_day.setdefault(day, [])
        day += timedelta(days=1)
    return {day: round(math.fsum(returns), DECIMALS) for day, returns in sorted(per_day.items())}


def sharpe_ratio(returns: dict[date, float]) -> tuple[float | None, str | None]:
    """Return the annualised Sharpe ratio of daily returns, or None and the reason why there is none."""
    values = list(returns.values())
    if not any(values):
        return None, "no daily return differs from zero"
    if len(set(values)) < 2:
        return None, "fewer than two different daily returns, so their spread is not known"
    ratio = statistics.fmean(values) / statistics.stdev(values) * math.sqrt(DAYS_PER_YEAR)
    return round(ratio, DECIMALS), None


def _trend(trades: Sequence[Trade], window: Sequence[Trade], start: datetime, now: datetime) -> tuple[DayFigures, ...]:
    figures = []
    for day, total in daily_returns(window, start, now).items():
        of_day = [trade for trade in window if trade.close_time.date() == day]
        until = min(now, _midnight(day + timedelta(days=1)))
        trailing = closed_between(trades, until - WINDOW, until)
        sharpe = sharpe_ratio(daily_returns(trailing, until - WINDOW, until))[0] if of_day else None
        figures.append(
            DayFigures(
                date=day,
                trades=len(of_day),
                win_rate=_win_rate(of_day),
                avg_profit_per_trade=_avg_profit(of_day),
                trailing_sharpe_ratio=sharpe,
                return_pct=total,
            )
        )
    return tuple(figures)


def _win_rate(trades: Sequence[Trade]) -> float | None:
    return round(100 * sum(trade.won for trade in trades) / len(trades), DECIMALS) if trades else None


def _avg_profit(trades: Sequence[Trade]) -> float | None:
    return round(math.fsum(trade.return_pct for trade in trades) / len(trades), DECIMALS) if trades else None


def _overall(grades: dict[str, Status]) -> str:
    for worst in ("critical", "warning"):
        if worst in grades.values():
            return worst.upper()
    return "GOOD"


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
