"""Figures of one strategy, or of the whole book, from its closed trades.

Pure: trades in, :class:`StrategyFigures` out. A trade is a loss when it lost money after fees. One that ended at
exactly zero is no win; in a row of losses it neither counts nor ends it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from include.trading.day_equity import DayEquity
from include.trading.strategy_names import UNATTRIBUTED
from include.trading.trades import Trade

DECIMALS = 6
"""Percentages are rounded once, here, so that 10 computed as 10.000000000000002 does not exceed 10."""

SHOWN_IDS = 50
"""So many trade ids, the newest, are kept as evidence."""


@dataclass(frozen=True)
class StrategyFigures:
    """What the risk rules read.

    `trades` counts the judged trades: those that closed since `since` (None: all), a person's last re-enabling.
    `daily_pnl_usdt` is what the trades closed since 00:00 UTC earned, `daily_loss_pct` their loss in percent of the
    equity at that moment (0 for a profit), None with `daily_loss_reason` where it is not known.
    `win_rate_pct` is over the last `win_rate_trades` trades, None while there are fewer.
    Ids are oldest first, at most the newest 50.
    """

    strategy: str
    trades: int
    since: datetime | None
    daily_trades: int
    daily_pnl_usdt: float | None
    daily_loss_pct: float | None
    daily_loss_reason: str | None
    daily_ids: tuple[str, ...]
    losing_streak: int
    streak_first_id: str | None
    streak_ids: tuple[str, ...]
    win_rate_pct: float | None
    win_rate_trades: int
    win_rate_ids: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the figures JSON-able, without the trade ids."""
        return {
            "trades": self.trades,
            "judged_since": None if self.since is None else self.since.isoformat(),
            "daily_trades": self.daily_trades,
            "daily_pnl_usdt": self.daily_pnl_usdt,
            "daily_loss_pct": self.daily_loss_pct,
            "daily_loss_reason": self.daily_loss_reason,
            "losing_streak": self.losing_streak,
            "win_rate_pct": self.win_rate_pct,
            "win_rate_trades": self.win_rate_trades,
        }


def figures_of(
    strategy: str, trades: Iterable[Trade], equity: DayEquity, win_rate_trades: int, since: datetime | None = None
) -> StrategyFigures:
    """Measure the trades of one strategy (all that are given), in any order.

    :param since: trades that closed before it are not judged.
    :param win_rate_trades: how many last trades the win rate is over.
    """
    chosen = [trade for trade in trades if since is None or trade.close_time >= since]
    judged = sorted(chosen, key=lambda trade: (trade.close_time, trade.id))
    today = [trade for trade in judged if trade.close_time >= equity.day_start]
    pnl_usdt, loss_pct, reason = _daily_loss(today, equity)
    streak = _streak(judged)
    last = judged[-win_rate_trades:]
    enough = len(last) == win_rate_trades
    rate = round(100 * sum(trade.won for trade in last) / win_rate_trades, DECIMALS) if enough else None
    return StrategyFigures(
        strategy=strategy,
        trades=len(judged),
        since=since,
        daily_trades=len(today),
        daily_pnl_usdt=pnl_usdt,
        daily_loss_pct=loss_pct,
        daily_loss_reason=reason,
        daily_ids=_ids(today),
        losing_streak=len(streak),
        streak_first_id=streak[0].id if streak else None,
        streak_ids=_ids(streak),
        win_rate_pct=rate,
        win_rate_trades=win_rate_trades,
        win_rate_ids=_ids(last) if enough else (),
    )


def by_strategy(trades: Iterable[Trade]) -> dict[str, list[Trade]]:
    """Return the trades of each strategy; those without a name under `unattributed`."""
    groups: dict[str, list[Trade]] = {}
    for trade in trades:
        groups.setdefault(trade.strategy or UNATTRIBUTED, []).append(trade)
    return groups


def figures_by_strategy(
    trades: Iterable[Trade], equity: DayEquity, win_rate_trades: int, since: Mapping[str, datetime]
) -> dict[str, StrategyFigures]:
    """Measure each strategy; `since` holds the re-enabled ones' moments."""
    return {
        name: figures_of(name, group, equity, win_rate_trades, since.get(name))
        for name, group in sorted(by_strategy(trades).items())
    }


def _daily_loss(today: Sequence[Trade], equity: DayEquity) -> tuple[float | None, float | None, str | None]:
    unknown = sum(trade.pnl_usdt is None for trade in today)
    if unknown:
        return None, None, f"{unknown} trades closed since 00:00 UTC have no pnl: a partial sum would mislead"
    pnl_usdt = round(math.fsum(trade.pnl_usdt for trade in today if trade.pnl_usdt is not None), DECIMALS)
    if not today:
        return 0.0, 0.0, None
    if equity.usdt is None:
        return pnl_usdt, None, equity.reason
    return pnl_usdt, round(max(0.0, -pnl_usdt) / equity.usdt * 100, DECIMALS), None


def _streak(judged: Sequence[Trade]) -> list[Trade]:
    """Return the losses since the last win, oldest first."""
    losses: list[Trade] = []
    for trade in reversed(judged):
        if trade.won:
            break
        if trade.lost:
            losses.append(trade)
    return losses[::-1]


def _ids(trades: Sequence[Trade]) -> tuple[str, ...]:
    return tuple(trade.id for trade in trades[-SHOWN_IDS:])
