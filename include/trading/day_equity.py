"""The equity at 00:00 UTC, against which a day's loss is measured.

The engine tells only its present figures. The strategy watchdog therefore writes them down at every check, and the
day's first row is the anchor; without a row it is the balance now. What was realised between midnight and the anchor is
taken off again, so that the figure is that of midnight in both cases.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from pymongo import ASCENDING

from include.store.collections import EQUITY_HISTORY
from include.store.outage import mongo_outage
from include.trading.trades import Trade

if TYPE_CHECKING:
    from pymongo.database import Database

DECIMALS = 6


@dataclass(frozen=True)
class EquityPoint:
    """Balance (cash) and equity (with what open positions would bring), USDT, at one moment (aware UTC)."""

    timestamp: datetime
    balance: float
    equity: float


@dataclass(frozen=True)
class DayEquity:
    """The equity at 00:00 UTC of `day_start`'s day, USDT; None with a `reason` where it cannot be had.

    `source` says what it was computed from, `anchor_at` when that was seen.
    """

    day_start: datetime
    usdt: float | None
    source: Literal["equity_history", "balance_now"]
    anchor_at: datetime
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it JSON-able."""
        times = {"day_start": self.day_start.isoformat(), "anchor_at": self.anchor_at.isoformat()}
        return asdict(self) | times


def midnight(now: datetime) -> datetime:
    """Return 00:00 UTC of the day of `now` (aware)."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def equity_at_midnight(
    now: datetime, trades: Iterable[Trade], first_row: EquityPoint | None, balance_now: float
) -> DayEquity:
    """Return the equity at 00:00 UTC of the day of `now`.

    :param first_row: the first point that was written down on that day, if any.
    :param balance_now: cash at `now`, USDT.
    """
    start = midnight(now)
    today = [trade for trade in trades if trade.close_time >= start]
    anchor, anchor_at, source = balance_now, now, "balance_now"
    if first_row is not None and start <= first_row.timestamp <= now:
        anchor, anchor_at, source = first_row.equity, first_row.timestamp, "equity_history"
        today = [trade for trade in today if trade.close_time < anchor_at]
    realised = [trade.pnl_usdt for trade in today]
    unknown = sum(pnl is None for pnl in realised)
    value: float | None = None
    reason = None
    if unknown:
        reason = f"{unknown} trades closed since 00:00 UTC have no pnl, so the equity then cannot be computed"
    else:
        value = round(anchor - math.fsum(pnl for pnl in realised if pnl is not None), DECIMALS)
        if value <= 0:
            value, reason = (
                None,
                f"the equity at 00:00 UTC comes out as {value:g} USDT, of which there is no percentage",
            )
    return DayEquity(start, value, source, anchor_at, reason)  # type: ignore[arg-type]


def equity_row(run_id: str, point: EquityPoint) -> dict[str, Any]:
    """Return the row of `equity_history` that one check writes."""
    return {"_id": run_id, "timestamp": point.timestamp, "balance": point.balance, "equity": point.equity}


def first_row_since(db: Database[dict[str, Any]], start: datetime) -> EquityPoint | None:
    """Return the oldest row at or after `start`.

    :raises include.errors.ServiceUnavailableError: while MongoDB is away.
    """
    with mongo_outage("reading the equity history"):
        row = db[EQUITY_HISTORY].find_one({"timestamp": {"$gte": start}}, sort=[("timestamp", ASCENDING)])
    return None if row is None else EquityPoint(row["timestamp"], float(row["balance"]), float(row["equity"]))
