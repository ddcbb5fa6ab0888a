"""What the specification describes and the shipped engine does not have; 404 unless switched on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.engine.envelope import invalid_query, stamped
from sandbox.engine.state import EngineState
from sandbox.engine.trades import STRATEGIES, Trade, named


class SpecRoutes:
    """`/api/paper-trading/trades?days=`, and strategies that can be switched one by one."""

    def __init__(self, state: Callable[[], EngineState]) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            self._route("/api/paper-trading/trades", "GET", self._trades),
            self._route("/api/strategies/active", "GET", self._active),
            self._route("/api/strategies/{name}/disable", "POST", self._disable),
            self._route("/api/strategies/{name}/enable", "POST", self._enable),
        ]

    def _route(self, path: str, method: str, endpoint: Callable[[Request], Awaitable[Response]]) -> Route:
        """Return a route that does not exist for any method while the switch is off."""

        async def guarded(request: Request) -> Response:
            if not self._state().spec_endpoints:
                raise HTTPException(404)
            if request.method != method:
                raise HTTPException(405)
            return await endpoint(request)

        return Route(path, guarded, methods=["GET", "POST", "PUT", "DELETE"])

    async def _trades(self, request: Request) -> Response:
        days = request.query_params.get("days", "7")
        if not days.isdigit():
            return invalid_query()
        since = datetime.now(UTC) - timedelta(days=int(days))
        closed = self._state().book.closed()
        recent = [trade for trade in closed if datetime.fromisoformat(trade["close_time"]) >= since]
        return JSONResponse({"trades": [with_strategy(trade) for trade in recent]})

    async def _active(self, _: Request) -> Response:
        return JSONResponse([name for name in STRATEGIES if name not in self._state().disabled_strategies])

    async def _disable(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in STRATEGIES:
            return stamped(None, f"Unknown strategy: {name}", 404)
        state = self._state()
        state.disabled_strategies.add(name)
        cancelled, state.pending_signals[name] = state.pending_signals[name], 0
        return stamped({"strategy": name, "disabled": True, "pending_signals_cancelled": cancelled})

    async def _enable(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in STRATEGIES:
            return stamped(None, f"Unknown strategy: {name}", 404)
        self._state().disabled_strategies.discard(name)
        return stamped({"strategy": name, "disabled": False})


def with_strategy(trade: Trade) -> Trade:
    """Return the trade with what the specification expects on it."""
    return_pct = trade["pnl"] / (trade["entry_price"] * trade["quantity"]) * 100
    name = trade.get("strategy") or named({"id": trade["id"]})["strategy"]
    return trade | {"strategy": name, "profit_pct": return_pct, "win": trade["pnl"] > 0}
