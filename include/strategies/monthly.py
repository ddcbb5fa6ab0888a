"""The run month by month."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from include.strategies.daily import DailyEquity
from include.strategies.simulation import TradeRecord


def monthly_table(daily: DailyEquity, trades: Sequence[TradeRecord]) -> list[dict[str, Any]]:
    """Return one row per calendar month (UTC): return in percent of the equity at its start, and the trades closed.

    The returns compound to the whole run's. A month after the account was lost returns 0.
    """
    months = daily.day_ms.astype("datetime64[ms]").astype("datetime64[M]")
    closed = np.array([trade.exit_time_ms for trade in trades], dtype=np.int64).astype("datetime64[ms]")
    closed_in = closed.astype("datetime64[M]")
    rows = []
    before = daily.cash_usdt
    for month in np.unique(months):
        after = float(daily.equity_usdt[np.flatnonzero(months == month)[-1]])
        pnl = [trade.pnl_usdt for trade, when in zip(trades, closed_in, strict=True) if when == month]
        rows.append(
            {
                "month": str(month),
                "return_pct": round(100 * (after / before - 1), 6) if before > 0 else 0.0,
                "trades": len(pnl),
                "winning_trades": sum(value > 0 for value in pnl),
                "end_equity_usdt": round(after, 8),
            }
        )
        before = after
    return rows
