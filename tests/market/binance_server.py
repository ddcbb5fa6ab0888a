"""A small HTTP server that answers like Binance's REST interface, from given candles.

The bodies are trimmed copies of bodies that Binance really sent (`exchangeInfo` of 2026-09-25, `klines` of
2024-11-16, `ticker/24hr` of 2022-02-01); `test_binance_server.py` compares their shapes with the recordings.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from include.market.candles import Candles
from include.market.timeframes import timeframe_ms

JSON_TYPE = "application/json;charset=UTF-8"
INVALID_SYMBOL = {"code": -1121, "msg": "Invalid symbol."}
INVALID_INTERVAL = {"code": -1120, "msg": "Invalid interval."}
TOO_MANY_REQUESTS = {
    "code": -1003,
    "msg": "Too much request weight used; current limit is 6000 request weight per 1 MINUTE.",
}
UNKNOWN_ERROR = {"code": -1000, "msg": "An unknown error occurred while processing the request."}
MAX_ROWS, DEFAULT_ROWS = 1000, 500

EXCHANGE_INFO: dict[str, Any] = {
    "timezone": "UTC",
    "serverTime": 1790363028806,
    "rateLimits": [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000}],
    "exchangeFilters": [],
    "symbols": [],
}
SYMBOL_ENTRY: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "status": "TRADING",
    "baseAsset": "BTC",
    "baseAssetPrecision": 8,
    "quoteAsset": "USDT",
    "quotePrecision": 8,
    "quoteAssetPrecision": 8,
    "orderTypes": [
        "LIMIT",
        "LIMIT_MAKER",
        "MARKET",
        "STOP_LOSS",
        "STOP_LOSS_LIMIT",
        "TAKE_PROFIT",
        "TAKE_PROFIT_LIMIT",
    ],
    "isSpotTradingAllowed": True,
    "filters": [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": "0.01000000",
            "maxPrice": "1000000.00000000",
            "tickSize": "0.01000000",
        }
    ],
}
KLINE_ROW: list[Any] = [
    1731751140000, "0.75000000", "0.75280000", "0.74990000", "0.75200000", "810822.10000000",
    1731751199999, "609238.13426000", 2005, "560819.10000000", "421430.30264000", "0",
]  # fmt: skip
TICKER_24H: dict[str, Any] = {
    "symbol": "SHIBTRY",
    "priceChange": "0.00000945",
    "priceChangePercent": "3.342",
    "weightedAvgPrice": "0.00028925",
    "prevClosePrice": "0.00028273",
    "lastPrice": "0.00029220",
    "lastQty": "27309157.00",
    "bidPrice": "0.00029206",
    "bidQty": "8092472.00",
    "askPrice": "0.00029223",
    "askQty": "15000000.00",
    "openPrice": "0.00028275",
    "highPrice": "0.00029500",
    "lowPrice": "0.00028180",
    "volume": "621432087719.00",
    "quoteVolume": "179748569.24176604",
    "openTime": 1643637242711,
    "closeTime": 1643723642711,
    "firstId": 30323603,
    "lastId": 30362303,
    "count": 38701,
}


def kline_rows(candles: Candles) -> list[list[Any]]:
    """Return candles as the rows of a `klines` answer."""
    columns = (candles.open, candles.high, candles.low, candles.close, candles.volume)
    return [
        [time, *(f"{number:.8f}" for number in numbers), time + candles.bar_ms - 1, *KLINE_ROW[7:]]
        for time, *numbers in zip(candles.open_time.tolist(), *(column.tolist() for column in columns), strict=True)
    ]


@dataclass
class Answer:
    """One scripted answer: it is sent instead of the real one, once. `hang` never answers."""

    status: int = 200
    body: Any = None
    content_type: str = JSON_TYPE
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False


@dataclass
class FakeBinance:
    """What the server knows, and what it was asked; the paths in `away` answer 503."""

    url: str = ""
    now_ms: int = 0
    rows: dict[tuple[str, str], list[list[Any]]] = field(default_factory=dict)
    tickers: dict[str, dict[str, Any]] = field(default_factory=dict)
    prices: dict[str, str] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)
    script: dict[str, deque[Answer]] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def serve(self, candles: Candles) -> None:
        """Offer a series."""
        self.rows[candles.symbol, candles.timeframe] = kline_rows(candles)

    def answer_next(self, path: str, *answers: Answer) -> None:
        """Script the next answers of a path."""
        self.script.setdefault(path, deque()).extend(answers)

    def asked(self, path: str) -> list[dict[str, str]]:
        """Return the parameters of all requests to a path."""
        return [params for asked, params in self.requests if asked == path]

    def reply(self, path: str, params: dict[str, str]) -> Answer:
        """Answer as Binance does."""
        if path == "/api/v3/time":
            return Answer(body={"serverTime": self.now_ms})
        if path == "/api/v3/ticker/price":
            return Answer(body=[{"symbol": symbol, "price": price} for symbol, price in self.prices.items()])
        symbol = params.get("symbol", "")
        if symbol not in {known for known, _ in self.rows} | set(self.tickers):
            return Answer(400, INVALID_SYMBOL)
        if path == "/api/v3/exchangeInfo":
            entry = {**SYMBOL_ENTRY, "symbol": symbol, "baseAsset": symbol.removesuffix("USDT")}
            return Answer(body={**EXCHANGE_INFO, "serverTime": self.now_ms, "symbols": [entry]})
        if path == "/api/v3/ticker/24hr":
            return Answer(body=self.tickers[symbol])
        if path == "/api/v3/klines":
            return self._klines(params)
        return Answer(404, "<html><body><h2>404 Not found</h2></body></html>", "text/html")

    def _klines(self, params: dict[str, str]) -> Answer:
        rows = self.rows.get((params["symbol"], params["interval"]))
        if rows is None:
            return Answer(400, INVALID_INTERVAL)
        bar_ms = timeframe_ms(params["interval"])
        first, last = int(params.get("startTime", 0)), int(params.get("endTime", self.now_ms))
        limit = min(int(params.get("limit", DEFAULT_ROWS)), MAX_ROWS)
        # The bar that is being built is part of the answer; later ones do not exist yet.
        newest = min(last, self.now_ms // bar_ms * bar_ms)
        return Answer(body=[row for row in rows if first <= row[0] <= newest][:limit])


@contextmanager
def running_binance() -> Iterator[FakeBinance]:
    """Serve on a free port of 127.0.0.1 until the context ends."""
    fake = FakeBinance()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            params = {key: values[0] for key, values in parse_qs(url.query).items()}
            fake.requests.append((url.path, params))
            scripted = fake.script.get(url.path)
            answer = scripted.popleft() if scripted else fake.reply(url.path, params)
            if url.path in fake.away:
                answer = Answer(503, UNKNOWN_ERROR)
            if answer.hang:
                fake.closing.wait(30)
                self.close_connection = True
                return
            is_raw = isinstance(answer.body, str)
            content = (answer.body if is_raw else json.dumps(answer.body)).encode()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(content)))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        fake.closing.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
