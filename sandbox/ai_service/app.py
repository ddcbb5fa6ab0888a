"""A stand-in for the bot's AI service (FastAPI): bare JSON, no envelope, `{"detail": ...}` for errors."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.ai_service.costs import SessionCosts, cost_statistics
from sandbox.kit.app import SandboxApp

SYMBOLS = ["BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT"]
STRATEGIES = ["RSI Strategy", "MACD Strategy", "Volume Strategy", "Bollinger Bands Strategy", "Stochastic Strategy"]
HEALTH = {
    "status": "healthy",
    "timestamp": "",
    "service": "Grok Trading AI",
    "version": "3.0.0",
    "grok_available": True,
    "api_key_configured": True,
    "mongodb_connected": True,
    "analysis_interval_minutes": 15,
    "supported_symbols": SYMBOLS,
}
PERFORMANCE = {"overall_accuracy": 0.85, "precision": 0.82, "recall": 0.78, "f1_score": 0.8, "predictions_made": 0}
INFO: dict[str, Any] = {
    "service_name": "Grok Trading AI",
    "version": "3.0.0",
    "model_version": "grok-4-1-fast-non-reasoning",
    "supported_timeframes": ["1m", "5m", "15m", "1h", "4h", "1d"],
    "supported_symbols": SYMBOLS,
    "capabilities": ["trend_analysis", "signal_generation", "risk_assessment", "strategy_recommendation"],
    "last_trained": None,
}


def _now() -> str:
    return datetime.now(UTC).isoformat()


class AiService:
    """The endpoints that the bundle may read. `/ai/performance` answers constants that only look like accuracy."""

    def __init__(self, spec_endpoints: bool = False) -> None:
        self._spec_by_default = spec_endpoints
        self._defaults()

    def _defaults(self) -> None:
        self.spec_endpoints = self._spec_by_default
        self.health: dict[str, Any] = dict(HEALTH)
        self.costs = SessionCosts()
        self.accuracy: dict[str, list[float]] = {}
        self.trainings = 0

    def app(self) -> SandboxApp:
        """Return the application with its control endpoint."""
        routes = [
            Route("/", self._answer(lambda: {"service": "Grok Trading AI", "status": "running", "version": "3.0.0"})),
            Route("/health", self._answer(lambda: self.health | {"timestamp": _now()})),
            Route("/ai/cost/statistics", self._answer(lambda: cost_statistics(self.costs, _now()))),
            Route("/ai/info", self._answer(lambda: INFO)),
            Route("/ai/performance", self._answer(lambda: PERFORMANCE)),
            Route("/ai/strategies", self._answer(lambda: STRATEGIES)),
            Route("/ai/model/accuracy_history", self._accuracy_history),
            Route("/ai/train", self._train, methods=["GET", "POST"]),
        ]
        service = Starlette(routes=routes, exception_handlers={404: _detail, 405: _detail})
        control = [Route("/state", self._set_state, methods=["POST"])]
        return SandboxApp("ai_service", service, control=control, on_reset=self._defaults)

    def _answer(self, body: Any) -> Any:
        async def endpoint(_: Request) -> Response:
            return JSONResponse(body())

        return endpoint

    async def _accuracy_history(self, request: Request) -> Response:
        """Answer what the specification describes and the shipped service does not have."""
        if not self.spec_endpoints:
            raise HTTPException(404)
        days = int(request.query_params.get("days", 7))
        today = datetime.now(UTC).date()
        history = {
            model: [
                {"date": str(today - timedelta(days=age)), "accuracy": value}
                for age, value in reversed(list(enumerate(reversed(values))))
                if age < days
            ]
            for model, values in self.accuracy.items()
        }
        return JSONResponse({"days": days, "accuracy_history": history})

    async def _train(self, request: Request) -> Response:
        if not self.spec_endpoints:
            raise HTTPException(404)
        if request.method != "POST":
            raise HTTPException(405)
        self.trainings += 1
        return JSONResponse({"task_id": f"train-{self.trainings}", "status": "queued"}, status_code=202)

    async def _set_state(self, request: Request) -> Response:
        """Set `costs` and `health` (fields of either), `accuracy` (model -> values, oldest first), `spec_endpoints`."""
        state = await request.json()
        costs, health = state.pop("costs", {}), state.pop("health", {})
        unknown = [
            *(f"costs.{name}" for name in sorted(set(costs) - {f.name for f in fields(SessionCosts)})),
            *(f"health.{name}" for name in sorted(set(health) - set(HEALTH))),
            *sorted(set(state) - {"accuracy", "spec_endpoints"}),
        ]
        if unknown:
            return JSONResponse({"error": f"unknown state: {', '.join(unknown)}"}, status_code=400)
        self.costs = replace(self.costs, **costs)
        self.health |= health
        self.accuracy = state.get("accuracy", self.accuracy)
        self.spec_endpoints = bool(state.get("spec_endpoints", self.spec_endpoints))
        return JSONResponse({"health": self.health, "spec_endpoints": self.spec_endpoints})


async def _detail(_: Request, error: Any) -> Response:
    status = getattr(error, "status_code", 404)
    return JSONResponse({"detail": "Method Not Allowed" if status == 405 else "Not Found"}, status_code=status)
