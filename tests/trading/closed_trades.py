"""Closed trades for the tests of risk control, made without the engine's wire form."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from include.trading.trades import Trade

NOON = datetime(2025, 11, 22, 12, 0, tzinfo=UTC)
MIDNIGHT = datetime(2025, 11, 22, tzinfo=UTC)


def closed(
    pnl: float | None, at: datetime = NOON, strategy: str | None = "rsi", id: str = "", return_pct: float | None = None
) -> Trade:
    return Trade(
        id=id or f"{strategy}-{at.isoformat()}-{pnl}",
        symbol="BTCUSDT",
        close_time=at,
        open_time=None,
        return_pct=return_pct if return_pct is not None else (pnl or 0.0) / 10,
        return_source="pnl" if pnl is not None else "pnl_percentage",
        pnl_usdt=pnl,
        strategy=strategy,
    )


def row(pnls: Sequence[float], strategy: str | None = "rsi", end: datetime = NOON) -> list[Trade]:
    """Trades of these results, one per minute, the last one at `end`."""
    count = len(pnls)
    return [
        closed(pnl, end - timedelta(minutes=count - 1 - at), strategy, id=f"{strategy}-{at}")
        for at, pnl in enumerate(pnls)
    ]
