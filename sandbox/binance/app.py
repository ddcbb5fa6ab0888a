"""A stand-in for Binance's public REST API: time, exchangeInfo, klines, the price and the 24-hour ticker."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from sandbox.binance import errors, parameters
from sandbox.binance.errors import BinanceError
from sandbox.binance.exchange_info import exchange_info
from sandbox.binance.rows import kline_rows
from sandbox.binance.ticker import last_price, ticker_24h
from sandbox.binance.weight import WEIGHT_LIMIT, WeightMeter
from sandbox.kit.app import SandboxApp
from sandbox.market.bars import DAY_MS, HOUR_MS, INTERVAL_MS
from sandbox.market.clock import ClockError
from sandbox.market.view import MarketView

KLINE_PARAMETERS = ("symbol", "interval", "startTime", "endTime", "timeZone", "limit")
TICKER_PARAMETERS = ("symbol", "symbols", "type", "symbolStatus")
MEDIA_TYPE = "application/json;charset=UTF-8"


class BinanceService:
    """The endpoints, over the candles of a view."""

    def __init__(self, view: MarketView) -> None:
        self.view = view
        self.meter = WeightMeter()
        self.listings: dict[str, str] = {}

    def app(self) -> SandboxApp:
        """Return the application with its control endpoint."""
        routes = [
            Route("/api/v3/ping", self._endpoint(lambda _: {}, 1)),
            Route("/api/v3/time", self._endpoint(self._time, 1)),
            Route("/api/v3/exchangeInfo", self._endpoint(self._exchange_info, 20)),
            Route("/api/v3/klines", self._endpoint(self._klines, 2)),
            Route("/api/v3/ticker/price", self._endpoint(self._prices, self._price_weight)),
            Route("/api/v3/ticker/24hr", self._endpoint(self._ticker, self._ticker_weight)),
        ]
        service = Starlette(routes=routes, exception_handlers={404: _not_found})
        service.router.redirect_slashes = False
        control = [
            Route("/data", self._data, methods=["GET"]),
            Route("/advance", self._advance, methods=["POST"]),
            Route("/weight-limit", self._set_weight_limit, methods=["POST"]),
            Route("/listings", self._list_symbols, methods=["POST"]),
        ]
        return SandboxApp("binance", service, control=control, on_reset=self._reset)

    def _endpoint(
        self, answer: Callable[[Mapping[str, str]], Any], weight: int | Callable[[Mapping[str, str]], int]
    ) -> Callable[[Request], Response]:
        async def endpoint(request: Request) -> Response:
            try:
                used = self.meter.charge(weight if isinstance(weight, int) else weight(request.query_params))
                body = json.dumps(answer(request.query_params), separators=(",", ":"))
            except BinanceError as error:
                return error.response()
            headers = {
                "x-mbx-uuid": str(uuid.uuid4()),
                "x-mbx-used-weight": str(used),
                "x-mbx-used-weight-1m": str(used),
            }
            return Response(body, media_type=MEDIA_TYPE, headers=headers)

        return endpoint  # type: ignore[return-value]

    def _time(self, _: Mapping[str, str]) -> dict[str, int]:
        return {"serverTime": self.view.clock.now_ms()}

    def _exchange_info(self, query: Mapping[str, str]) -> dict[str, Any]:
        parameters.refuse_unknown(query, ("symbol", "symbols", "permissions", "showPermissionSets", "symbolStatus"))
        return exchange_info(self._symbols(query), self.view.clock.now_ms())

    @property
    def traded(self) -> list[str]:
        """The symbols that have candles, and those that were listed as other names of them."""
        return [*self.view.source.symbols, *self.listings]

    def _base(self, symbol: str) -> str:
        """Return the symbol whose candles a symbol has."""
        return self.listings.get(symbol, symbol)

    def _symbols(self, query: Mapping[str, str]) -> list[str]:
        """Return what `symbol` or `symbols` ask for, or all."""
        traded = self.traded
        if "symbol" in query and "symbols" in query:
            raise BinanceError(-1128, "Combination of optional parameters invalid.")
        if "symbol" in query:
            return [parameters.symbol(query, traded)]
        if "symbols" not in query:
            return traded
        try:
            asked = [str(symbol) for symbol in json.loads(query["symbols"])]
        except (ValueError, TypeError):
            raise errors.illegal_characters("symbols", r'^\["[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}"){0,}\]$') from None
        return [parameters.checked_symbol(symbol, traded) for symbol in asked]

    def _klines(self, query: Mapping[str, str]) -> list[list[int | str]]:
        parameters.refuse_unknown(query, KLINE_PARAMETERS)
        symbol = self._base(parameters.symbol(query, self.traded))
        interval = query.get("interval", "")
        if not interval:
            raise errors.missing("interval")
        if interval not in INTERVAL_MS:
            raise errors.invalid_interval()
        start, end = parameters.number(query, "startTime"), parameters.number(query, "endTime")
        bars = self.view.klines(symbol, interval, start_ms=start, end_ms=end, limit=parameters.limit(query))
        return kline_rows(symbol, bars, INTERVAL_MS[interval])

    def _ticker(self, query: Mapping[str, str]) -> Any:
        parameters.refuse_unknown(query, TICKER_PARAMETERS)
        now = self.view.clock.now_ms()
        symbols = self._symbols(query)
        tickers = [ticker_24h(symbol, self.view.last_day(self._base(symbol), now), now) for symbol in symbols]
        return tickers[0] if "symbol" in query else tickers

    def _prices(self, query: Mapping[str, str]) -> Any:
        parameters.refuse_unknown(query, ("symbol", "symbols", "symbolStatus"))
        now = self.view.clock.now_ms()
        symbols = self._symbols(query)
        known = {base: last_price(self.view.last_day(base, now)) for base in {self._base(symbol) for symbol in symbols}}
        prices = [{"symbol": symbol, "price": known[self._base(symbol)]} for symbol in symbols]
        return prices[0] if "symbol" in query else prices

    def _price_weight(self, query: Mapping[str, str]) -> int:
        return 2 if "symbol" in query else 4

    def _ticker_weight(self, query: Mapping[str, str]) -> int:
        """Return what the question costs: 2 up to 20 symbols, 40 up to 100, else 80."""
        if "symbol" in query:
            return 2
        asked = query["symbols"].count(",") + 1 if "symbols" in query else len(self.traded) + 101
        return 2 if asked <= 20 else 40 if asked <= 100 else 80

    def _reset(self) -> None:
        """Put the weight limit and the listed symbols back; candles, shift and clock belong to the environment."""
        self.meter = WeightMeter()
        self.listings = {}

    async def _data(self, _: Request) -> Response:
        about = {"data": self.view.describe(), "real": self.view.source.is_real, "symbols": self.traded}
        return JSONResponse(about | self.view.clock.describe())

    async def _advance(self, request: Request) -> Response:
        body = await request.json()
        try:
            days, hours = float(body.get("days", 0)), float(body.get("hours", 0))
            self.view.clock.advance(round(days * DAY_MS + hours * HOUR_MS))
        except (ClockError, AttributeError, TypeError, ValueError) as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        return JSONResponse(self.view.clock.describe())

    async def _list_symbols(self, request: Request) -> Response:
        """List more symbols: name -> the symbol whose candles they have too."""
        body = await request.json()
        strange = {name: base for name, base in body.items() if base not in self.view.source.symbols}
        if strange:
            return JSONResponse({"error": f"no candles to list as {strange}"}, status_code=400)
        self.listings |= body
        return JSONResponse({"symbols": len(self.traded)})

    async def _set_weight_limit(self, request: Request) -> Response:
        limit = (await request.json()).get("limit", WEIGHT_LIMIT)
        if not isinstance(limit, int) or limit < 0:
            return JSONResponse({"error": f"limit is {limit!r}: use a whole number of weight"}, status_code=400)
        self.meter = WeightMeter(limit)
        return JSONResponse({"limit": limit})


async def _not_found(_: Request, __: Exception) -> Response:
    return HTMLResponse("<html><body><h2>404 Not found</h2></body></html>", status_code=404)
