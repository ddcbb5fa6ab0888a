"""The core engine's answers, in the exact form that the shipped service has."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

NOW = datetime(2025, 11, 22, 1, 0, tzinfo=UTC)
CLOSED = "/api/paper-trading/trades/closed"

PORTFOLIO = {
    "total_trades": 47, "win_rate": 68.1, "total_pnl": 542.75, "total_pnl_percentage": 5.4275,
    "max_drawdown": 120.0, "max_drawdown_percentage": 1.2, "sharpe_ratio": 0.21, "profit_factor": 1.72,
    "average_win": 31.0, "average_loss": 18.0, "largest_win": 90.0, "largest_loss": 40.0,
    "current_balance": 10542.75, "equity": 10560.0, "margin_used": 300.0, "free_margin": 10260.0,
}  # fmt: skip


def envelope(data: object, success: bool = True, error: str | None = None) -> dict[str, Any]:
    return {"success": success, "data": data, "error": error, "timestamp": "2025-11-22T01:00:00.000120931Z"}


def trade(return_pct: float = -1.0, closed: datetime = NOW - timedelta(days=1), **changes: object) -> dict[str, Any]:
    """One closed trade whose pnl gives `return_pct` on its notional; `pnl_percentage` is stale, as in life."""
    entry_price, quantity = 67000.5, 0.003
    opened = closed - timedelta(minutes=90)
    row = {
        "id": str(uuid.uuid4()), "symbol": "BTCUSDT", "trade_type": "Long", "status": "Closed",
        "entry_price": entry_price, "exit_price": 66200.0, "quantity": quantity, "leverage": 3,
        "stop_loss": None, "take_profit": None,
        "pnl": return_pct / 100 * entry_price * quantity, "pnl_percentage": -return_pct * 0.5,
        "trading_fees": 0.0804, "funding_fees": 0.0, "duration_ms": 5400000,
        "open_time": opened.strftime("%Y-%m-%dT%H:%M:%S.123456789Z"),
        "close_time": closed.strftime("%Y-%m-%dT%H:%M:%S.123456789Z"),
        "close_reason": "StopLoss", "ai_signal_id": "b7c2", "ai_confidence": 0.74,
    }  # fmt: skip
    return {**row, **changes}


def week(*days: tuple[int, int, float, float], now: datetime = NOW) -> list[dict[str, Any]]:
    """Trades of consecutive days, the last of them yesterday: (wins, losses, win_pct, loss_pct) per day."""
    rows = []
    for back, (wins, losses, win_pct, loss_pct) in enumerate(reversed(days), start=1):
        noon = now.replace(hour=0) - timedelta(days=back) + timedelta(hours=2)
        returns = [win_pct] * wins + [loss_pct] * losses
        rows += [trade(value, noon + timedelta(minutes=5 * n)) for n, value in enumerate(returns)]
    return rows
