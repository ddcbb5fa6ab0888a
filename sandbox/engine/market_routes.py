"""`/api/market/*`: prices, candles and charts out of the engine's cache."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.engine.envelope import invalid_query, plain
from sandbox.engine.state import EngineState

if TYPE_CHECKING:
    from sandbox.market.view import MarketView


class MarketRoutes:
    """Candles of the environment's market. numpy is only loaded with the first request."""

    def __init__(self, state: Callable[[], EngineState], market_data_dir: Path | None, state_file: Path | None) -> None:
        self._state = state
        self._market_data_dir = market_data_dir
        self._state_file = state_file

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/api/market/prices", self._prices),
            Route("/api/market/symbols", self._symbols),
            Route("/api/market/candles/{symbol}/{timeframe}", self._candles),
            Route("/api/market/chart/{symbol}/{timeframe}", self._chart),
            Route("/api/market/charts", self._charts),
        ]

    @cached_property
    def _view(self) -> MarketView:
        from sandbox.market.source import default_folder
        from sandbox.market.view import open_view

        return open_view(self._market_data_dir or default_folder(), self._state_file)

    def _cache(self, symbol: str, timeframe: str) -> list[dict[str, Any]]:
        from sandbox.engine.candles import cached_candles

        return cached_candles(self._view, symbol.upper(), timeframe, self._state().uptime())

    async def _prices(self, _: Request) -> Response:
        from sandbox.engine.candles import SYMBOLS

        caches = {symbol: self._cache(symbol, "1h") for symbol in SYMBOLS}
        return plain({symbol: rows[-1]["close"] for symbol, rows in caches.items() if rows})

    async def _symbols(self, _: Request) -> Response:
        from sandbox.engine.candles import SYMBOLS, TIMEFRAMES

        return plain({"symbols": list(SYMBOLS), "available_timeframes": list(TIMEFRAMES)})

    async def _candles(self, request: Request) -> Response:
        from sandbox.engine.candles import newest_first

        limit, bad = _limit(request)
        if bad is not None:
            return bad
        rows = self._cache(request.path_params["symbol"], request.path_params["timeframe"])
        return plain(newest_first(rows, limit))

    async def _chart(self, request: Request) -> Response:
        limit, bad = _limit(request)
        if bad is not None:
            return bad
        return plain(self._one_chart(request.path_params["symbol"], request.path_params["timeframe"], limit))

    async def _charts(self, request: Request) -> Response:
        limit, bad = _limit(request)
        query = request.query_params
        if bad is not None or "symbols" not in query or "timeframes" not in query:
            return invalid_query()
        symbols, timeframes = query["symbols"].split(","), query["timeframes"].split(",")
        return plain([self._one_chart(symbol, frame, limit) for symbol in symbols for frame in timeframes])

    def _one_chart(self, symbol: str, timeframe: str, limit: int | None) -> dict[str, Any]:
        from sandbox.engine.candles import chart

        return chart(symbol.upper(), timeframe, self._cache(symbol, timeframe), limit)


def _limit(request: Request) -> tuple[int | None, Response | None]:
    text = request.query_params.get("limit")
    if text is None:
        return None, None
    if not text.isdigit():
        return None, invalid_query()
    return int(text), None
