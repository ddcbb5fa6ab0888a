"""A stand-in for the bot's core engine: envelopes, statuses and error bodies as they really are on the wire."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.ai_service.app import STRATEGIES
from sandbox.engine.envelope import plain, warp_rejection
from sandbox.engine.market_routes import MarketRoutes
from sandbox.engine.reading import Reading
from sandbox.engine.settings_routes import SettingsRoutes
from sandbox.engine.spec_routes import SpecRoutes
from sandbox.engine.state import EngineState
from sandbox.kit.app import SandboxApp

SWITCHES = ("spec_endpoints", "running", "uptime_minutes", "pending_orders", "pending_signals")


class EngineService:
    """The engine's endpoints and its control endpoint.

    :param market_data_dir: folder of real candles; None: the default.
    :param state_file: shift and clock of the environment's candles, shared with the exchange's stand-in.
    :param spec_endpoints: whether it has what only the specification describes.
    """

    def __init__(
        self, market_data_dir: Path | None = None, state_file: Path | None = None, spec_endpoints: bool = False
    ) -> None:
        self._spec_by_default = spec_endpoints
        self.state = EngineState(spec_endpoints)
        self._market = MarketRoutes(lambda: self.state, market_data_dir, state_file)

    def app(self) -> SandboxApp:
        """Return the application."""
        routes = [
            *Reading(lambda: self.state).routes(),
            *SettingsRoutes(lambda: self.state).routes(),
            *self._market.routes(),
            *SpecRoutes(lambda: self.state).routes(),
            Route("/api/ai/strategies", _ai_strategies),
        ]
        service = Starlette(routes=routes, exception_handlers={404: warp_rejection, 405: warp_rejection})
        service.router.redirect_slashes = False
        control = [
            Route("/scenario", self._scenario, methods=["POST"]),
            Route("/restart", self._restart, methods=["POST"]),
            Route("/state", self._set_state, methods=["POST"]),
            Route("/state", self._get_state, methods=["GET"]),
        ]
        return SandboxApp("engine", service, control=control, on_reset=self._reset)

    def _reset(self) -> None:
        self.state = EngineState(self._spec_by_default)

    async def _scenario(self, request: Request) -> Response:
        try:
            body = await request.json()
            self.state.tell(body)
        except (TypeError, ValueError) as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        return JSONResponse({"closed": len(self.state.book.closed()), "open": len(self.state.book.open())})

    async def _restart(self, _: Request) -> Response:
        self.state.restart()
        return JSONResponse({"restarted": "engine"})

    async def _set_state(self, request: Request) -> Response:
        body: dict[str, Any] = await request.json()
        unknown = sorted(set(body) - set(SWITCHES))
        if unknown:
            message = f"unknown state: {', '.join(unknown)}; known: {', '.join(SWITCHES)}"
            return JSONResponse({"error": message}, status_code=400)
        for name, value in body.items():
            setattr(self.state, name, value)
        return await self._get_state(request)

    async def _get_state(self, _: Request) -> Response:
        values = {name: getattr(self.state, name) for name in SWITCHES}
        values |= {
            "disabled_strategies": sorted(self.state.disabled_strategies),
            "strategy_settings": self.state.strategy_settings,
            "basic_settings": self.state.basic_settings,
            "indicator_settings": self.state.indicator_settings,
            "symbol_settings": self.state.symbol_settings,
        }
        return JSONResponse(values)


async def _ai_strategies(_: Request) -> Response:
    return plain(STRATEGIES)
