"""Routes that read: health, monitoring, portfolio, trades, signals, pending orders."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.engine.envelope import invalid_query, plain, rfc3339, stamped
from sandbox.engine.portfolio import portfolio
from sandbox.engine.state import EngineState
from sandbox.engine.trades import Trade, named

Endpoint = Callable[[Request], Awaitable[Response]]


class Reading:
    """The engine's answers about itself and about its trades."""

    def __init__(self, state: Callable[[], EngineState]) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        """Return the routes. None of the trade routes reads a query parameter."""
        paper = "/api/paper-trading"
        return [
            Route("/api/health", _endpoint(lambda: plain("Bot is running"))),
            Route("/api/health/{rest:path}", _endpoint(lambda: plain("Bot is running"))),
            Route("/api/monitoring/system", _endpoint(lambda: plain(self._system()))),
            Route("/api/monitoring/trading", _endpoint(lambda: plain(_TRADING_NEVER_UPDATED))),
            Route("/api/monitoring/connection", _endpoint(lambda: plain(_connection()))),
            Route("/api/trading/performance", _endpoint(lambda: plain(_LIVE_PERFORMANCE))),
            Route(f"{paper}/status", _endpoint(lambda: stamped(self._status()))),
            Route(f"{paper}/portfolio", _endpoint(lambda: stamped(self._portfolio()))),
            Route(f"{paper}/trades/open", _endpoint(lambda: stamped(self._state().book.open()))),
            Route(f"{paper}/trades/closed", _endpoint(lambda: stamped(self._closed()))),
            Route(f"{paper}/pending-orders", _endpoint(lambda: stamped(self._state().pending_orders))),
            Route(f"{paper}/pending-orders/{{order_id}}", self._cancel_order, methods=["DELETE"]),
            Route(f"{paper}/signals-history", self._signals_history),
            Route("/api/real-trading/trades/closed", _endpoint(_no_real_trading)),
        ]

    def _closed(self) -> list[Trade]:
        """Return the closed trades; with the specification's endpoints they also say their strategy."""
        state = self._state()
        closed = state.book.closed()
        return [named(trade) for trade in closed] if state.spec_endpoints else closed

    def _portfolio(self) -> dict[str, Any]:
        book = self._state().book
        return portfolio(book.closed(), book.open())

    def _status(self) -> dict[str, Any]:
        return {
            "is_running": self._state().running,
            "portfolio": self._portfolio(),
            "last_updated": rfc3339(time.time_ns()),
        }

    def _system(self) -> dict[str, Any]:
        """Return what no deployment ever updates: zeros since the start."""
        return {
            "uptime_seconds": 0,
            "active_positions": 0,
            "total_trades": 0,
            "cache_size": 0,
            "memory_usage_mb": 0.0,
            "cpu_usage_percent": 0.0,
            "last_update": int(self._state().started),
        }

    async def _cancel_order(self, request: Request) -> Response:
        orders = self._state().pending_orders
        wanted = request.path_params["order_id"]
        for order in orders:
            if order["id"] == wanted:
                orders.remove(order)
                return stamped({"success": True, "order_id": wanted, "message": "Order cancelled successfully"})
        return stamped(None, f"Order not found or already processed: {wanted}", 400)

    async def _signals_history(self, request: Request) -> Response:
        query = request.query_params
        limit = query.get("limit", "100")
        if not limit.isdigit():
            return invalid_query()
        trades = sorted(self._state().book.closed(), key=lambda trade: _time(trade["close_time"]), reverse=True)
        signals = [_signal(trade) for trade in trades if query.get("symbol") in {None, trade["symbol"]}]
        signals = signals[: int(limit)]
        outcome = query.get("outcome")
        if outcome is not None:
            signals = [signal for signal in signals if signal["outcome"] == outcome]
        wins = sum(signal["outcome"] == "win" for signal in signals)
        losses = sum(signal["outcome"] == "loss" for signal in signals)
        stats = {
            "total": len(signals),
            "wins": wins,
            "losses": losses,
            "pending": 0,
            "win_rate": wins / len(signals) * 100 if signals else 0.0,
            "total_pnl": sum(signal["actual_pnl"] for signal in signals),
        }
        return stamped({"signals": signals, "stats": stats})


_TRADING_NEVER_UPDATED = {
    "total_pnl": 0.0,
    "win_rate": 0.0,
    "avg_trade_duration_minutes": 0.0,
    "max_drawdown": 0.0,
    "sharpe_ratio": None,
    "total_volume": 0.0,
}
_LIVE_PERFORMANCE = {
    "total_trades": 0,
    "winning_trades": 0,
    "losing_trades": 0,
    "win_rate": 0.0,
    "total_pnl": 0.0,
    "avg_pnl": 0.0,
    "max_win": 0.0,
    "max_loss": 0.0,
}


def _endpoint(answer: Callable[[], Response]) -> Endpoint:
    async def endpoint(_: Request) -> Response:
        return answer()

    return endpoint


def _connection() -> dict[str, Any]:
    return {
        "websocket_connected": True,
        "api_responsive": True,
        "last_data_update": int(time.time()),
        "reconnect_count": 0,
    }


def _no_real_trading() -> Response:
    return stamped(None, "Real trading engine is not configured", 503)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _extended_date(text: str) -> dict[str, Any]:
    """Return a date as bson's serializer writes it into JSON."""
    return {"$date": {"$numberLong": str(int(_time(text).timestamp() * 1000))}}


def _signal(trade: Trade) -> dict[str, Any]:
    chance = random.Random(trade["id"])
    long = trade["trade_type"] == "Long"
    votes = "3L/0S/2N" if long else "0L/3S/2N"
    return {
        "_id": {"$oid": uuid.UUID(int=chance.getrandbits(128)).hex[:24]},
        "signal_id": trade["ai_signal_id"],
        "symbol": trade["symbol"],
        "signal_type": trade["trade_type"],
        "confidence": trade["ai_confidence"],
        "reasoning": f"Consensus (≥3/5): {votes} (strength: 60.0%, factor: 0.88)",
        "entry_price": trade["entry_price"],
        "trend_direction": "Bullish" if long else "Bearish",
        "trend_strength": trade["ai_confidence"],
        "volatility": 0.0,
        "risk_score": round(1 - (trade["ai_confidence"] or 0.0), 2),
        "executed": True,
        "trade_id": None,
        "created_at": _extended_date(trade["open_time"]),
        "timestamp": _extended_date(trade["open_time"]),
        "outcome": "win" if trade["pnl"] > 0 else "loss",
        "actual_pnl": trade["pnl"],
        "pnl_percentage": trade["pnl_percentage"],
        "exit_price": trade["exit_price"],
        "close_reason": trade["close_reason"],
        "closed_at": _extended_date(trade["close_time"]),
    }
