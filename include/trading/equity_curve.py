"""The curve of the realised balance, made backwards from the present one, and the stored points beside it.

The engine keeps no history over HTTP. But a closed trade's pnl is fixed, so the balance before it is the balance after
it less that pnl. Deposits, resets and fees of open trades are not in it.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any

from pydantic import AwareDatetime

from include.trading.performance_model import Record
from include.trading.trades import Trade, closed_between

CURVE_DAYS = 30
MAX_POINTS = 200
DECIMALS = 6


class CurvePoint(Record):
    """One moment of a curve, in USDT."""

    at: AwareDatetime
    usdt: float


class EquityCurve(Record):
    """What the chart shows.

    `realised` is the balance after each closed trade, or, without a present balance, the profit since the curve's
    beginning (`is_profit`). `equity` are stored points of the engine's own equity. `note` says what is missing.
    """

    realised: tuple[CurvePoint, ...]
    equity: tuple[CurvePoint, ...]
    is_profit: bool
    note: str | None
    start: AwareDatetime
    end: AwareDatetime

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return len(self.realised) < 2 and len(self.equity) < 2


def equity_curve(
    balance_usdt: float | None,
    trades: Sequence[Trade] | None,
    stored: Sequence[Mapping[str, Any]],
    now: datetime,
) -> EquityCurve:
    """Return the curve of the last 30 days.

    :param stored: documents of `equity_history`: `timestamp` (aware UTC), `balance`, `equity` (USDT).
    """
    start = now - timedelta(days=CURVE_DAYS)
    points: tuple[CurvePoint, ...] = ()
    note = "the closed trades could not be read" if trades is None else None
    if trades is not None:
        window = closed_between(trades, start, now)
        usable = _since_last_unknown(window)
        if len(usable) < len(window):
            note = f"trades up to {window[len(window) - len(usable) - 1].close_time:%Y-%m-%d %H:%M} UTC lack their pnl"
        begin = start if len(usable) == len(window) else window[len(window) - len(usable) - 1].close_time
        points = _backwards(balance_usdt, usable, begin, now)
    equity = [
        CurvePoint(at=row["timestamp"], usdt=float(row["equity"]))
        for row in sorted(stored, key=lambda row: row["timestamp"])
        if start <= row["timestamp"] <= now
        and isinstance(row.get("equity"), int | float)
        and math.isfinite(row["equity"])
    ]
    return EquityCurve(
        realised=_thinned(points),
        equity=_thinned(equity),
        is_profit=balance_usdt is None,
        note=note,
        start=start,
        end=now,
    )


def _since_last_unknown(window: Sequence[Trade]) -> list[Trade]:
    usable: list[Trade] = []
    for trade in reversed(window):
        if trade.pnl_usdt is None:
            break
        usable.append(trade)
    return usable[::-1]


def _backwards(
    balance: float | None, trades: Sequence[Trade], start: datetime, now: datetime
) -> tuple[CurvePoint, ...]:
    pnls = [trade.pnl_usdt or 0.0 for trade in trades]
    first = 0.0 if balance is None else balance - math.fsum(pnls)
    levels = list(accumulate(pnls, initial=first))
    times = [start, *(trade.close_time for trade in trades), now]
    return tuple(
        CurvePoint(at=at, usdt=round(level, DECIMALS)) for at, level in zip(times, [*levels, levels[-1]], strict=True)
    )


def _thinned(points: Sequence[CurvePoint]) -> tuple[CurvePoint, ...]:
    """Return the first and the last point of each of 99 equal spans where there are more than 200 points."""
    if len(points) <= MAX_POINTS:
        return tuple(points)
    step = dt.timedelta(days=CURVE_DAYS) / (MAX_POINTS // 2 - 1)
    kept: dict[int, list[CurvePoint]] = {}
    for point in points:
        kept.setdefault(int((point.at - points[0].at) / step), []).append(point)
    return tuple(point for group in kept.values() for point in (group if len(group) < 2 else (group[0], group[-1])))
