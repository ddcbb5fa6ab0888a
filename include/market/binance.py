"""Binance's public REST interface: the server's time, symbols, candles and the 24-hour ticker.

Limits are honoured (429 and 418 wait for `Retry-After`, all threads of a client at once; see also
:meth:`BinanceClient.pace`), short troubles are tried again here, and what is left over is a
:class:`~include.errors.TransientError` for the retry policy of the task.
Source: Binance's REST documentation, `services.md` 1.11 of the specification.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self

import httpx
import numpy as np

from include.errors import (
    BadInputError,
    ConfigurationError,
    MalformedAnswerError,
    ServiceUnavailableError,
    TransientError,
)
from include.market.binance_wire import (
    Ticker24h,
    parse_klines,
    parse_ticker_24h,
    parse_ticker_prices,
    parse_time_ms,
)
from include.market.candles import Candles
from include.market.pacing import USED_WEIGHT_HEADER, Refusal, WeightPacer
from include.market.timeframes import timeframe_ms

PAGE_LIMIT = 1000
"""Most rows that one answer of `/api/v3/klines` holds."""
MAX_WAIT_S = 60.0
"""A `Retry-After` above this is left to the task's own retry instead of blocking a worker."""
LONGEST_BAN_S = 3 * 86_400.0
"""Binance's longest ban of an address; a `Retry-After` beyond it is nonsense."""
FIRST_BACKOFF_S = 0.5
MAX_BACKOFF_S = 8.0
TOO_MANY = "too many requests from this address"
INVALID_SYMBOL_CODE = -1121
ILLEGAL_CHARACTERS_CODE = -1100
SYMBOL_PATTERN = re.compile(r"[A-Z0-9._-]{1,20}")
TIME_WEIGHT = 1
EXCHANGE_INFO_WEIGHT = 20
KLINES_WEIGHT = 2
TICKER_24H_WEIGHT = 2
TICKER_PRICES_WEIGHT = 4
"""Request weight of `/api/v3/ticker/price` for all symbols; one symbol costs 2, so from three on all is cheaper."""


class BinanceClient:
    """One connection pool to one Binance address; use it as a context manager. Threads may share it.

    :param base_url: for instance `https://api.binance.com`.
    :param timeout_s: of each request, for connecting and for reading.
    :param max_attempts: requests sent per question, those answered 429, 418 and 5xx included.
    :param sleep: called with the seconds to wait between attempts.
    :param clock: seconds since the epoch; what waits are measured by.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float = 10.0,
        max_attempts: int = 5,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if max_attempts < 1:
            raise ConfigurationError(f"max_attempts of the Binance client is {max_attempts}; set 1 or more")
        self._base_url = base_url.rstrip("/")
        self._max_attempts = max_attempts
        self._sleep = sleep
        self._clock = clock
        self._refusal = Refusal(clock)
        self._pacer: WeightPacer | None = None
        try:
            address = httpx.URL(self._base_url)
        except httpx.InvalidURL:
            address = httpx.URL("")
        if address.scheme not in {"http", "https"} or not address.host:
            raise ConfigurationError(f"{base_url!r} is no web address: correct TRADING_OPS_BINANCE_BASE_URL")
        self._http = httpx.Client(base_url=address, timeout=timeout_s, headers={"Accept": "application/json"})

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def pace(self, weight_per_minute: int) -> None:
        """From now on use at most so much request weight per minute: who wants more waits for the next minute.

        What the minute has used is kept when the same limit is set again.
        """
        if self._pacer is None or self._pacer.weight_per_minute != weight_per_minute:
            self._pacer = WeightPacer(weight_per_minute, self._clock, self._sleep)

    def server_time_ms(self) -> int:
        """Return the exchange's clock, in milliseconds since the epoch: what "closed" is judged by."""
        body = self._get("/api/v3/time", {}, weight=TIME_WEIGHT)
        return parse_time_ms(body.get("serverTime") if isinstance(body, dict) else None, "serverTime")

    def exchange_info(self, symbol: str) -> dict[str, Any]:
        """Return what the exchange says about one symbol (`symbol`, `status`, `baseAsset`, `filters`...).

        :raises BadInputError: `Invalid symbol: X ...` when the exchange does not know it.
        """
        body = self._get("/api/v3/exchangeInfo", {"symbol": _checked(symbol)}, symbol, weight=EXCHANGE_INFO_WEIGHT)
        entries = body.get("symbols") if isinstance(body, dict) else None
        if not isinstance(entries, list):
            raise MalformedAnswerError(f"Binance answered no list of symbols for {symbol}: {body!r:.120}")
        for entry in entries:
            if isinstance(entry, dict) and entry.get("symbol") == symbol:
                return entry
        raise _invalid_symbol(symbol)

    def klines(
        self, symbol: str, timeframe: str, start_ms: int, end_ms: int, *, server_time_ms: int | None = None
    ) -> Candles:
        """Return the closed candles with `start_ms <= open_time < end_ms`, oldest first.

        Hours that the exchange itself has no candle for are simply absent.

        :param server_time_ms: the exchange's clock if it was asked already; candles that were not closed
            by then are left out.
        :raises BadInputError: for an unknown symbol or timeframe.
        :raises MalformedAnswerError: for numbers that cannot be true.
        :raises TransientError: when the exchange stays away or busy.
        """
        pages = list(self.kline_pages(symbol, timeframe, start_ms, end_ms, server_time_ms=server_time_ms))
        if not pages:
            return parse_klines([], symbol, timeframe, start_ms, end_ms)
        return Candles(
            symbol,
            timeframe,
            np.concatenate([page.open_time for page in pages]),
            np.concatenate([page.open for page in pages]),
            np.concatenate([page.high for page in pages]),
            np.concatenate([page.low for page in pages]),
            np.concatenate([page.close for page in pages]),
            np.concatenate([page.volume for page in pages]),
        )

    def kline_pages(
        self, symbol: str, timeframe: str, start_ms: int, end_ms: int, *, server_time_ms: int | None = None
    ) -> Iterator[Candles]:
        """Yield the same candles as :meth:`klines`, at most 1,000 at a time, as they arrive."""
        bar_ms = timeframe_ms(timeframe)
        _checked(symbol)
        # The clock is read before the candles: what was closed then cannot change any more.
        now_ms = self.server_time_ms() if server_time_ms is None else server_time_ms
        cursor, end_ms = max(0, start_ms), min(end_ms, now_ms)
        while cursor < end_ms:
            rows = self._get(
                "/api/v3/klines",
                {
                    "symbol": symbol,
                    "interval": timeframe,
                    "startTime": cursor,
                    "endTime": end_ms - 1,  # inclusive on the wire
                    "limit": PAGE_LIMIT,
                },
                symbol,
                weight=KLINES_WEIGHT,
            )
            page = parse_klines(rows, symbol, timeframe, cursor, end_ms)
            if not len(page):
                return
            closed = page.between(end_ms=now_ms - bar_ms + 2)  # close time = open time + bar - 1 <= now
            if len(closed):
                yield closed
            if len(page) < PAGE_LIMIT:
                return
            cursor = int(page.open_time[-1]) + bar_ms

    def ticker_24h(self, symbol: str) -> Ticker24h:
        """Return price, change and volume of the last 24 hours.

        :raises BadInputError: for an unknown symbol.
        """
        body = self._get("/api/v3/ticker/24hr", {"symbol": _checked(symbol)}, symbol, weight=TICKER_24H_WEIGHT)
        return parse_ticker_24h(body, symbol)

    def ticker_prices(self) -> dict[str, float]:
        """Return the last price of every symbol that the exchange lists, in the quote asset, with one question.

        A price of 0 is one of a symbol that has not been traded.
        """
        return parse_ticker_prices(self._get("/api/v3/ticker/price", {}, weight=TICKER_PRICES_WEIGHT))

    def _get(self, path: str, params: Mapping[str, str | int], symbol: str = "", *, weight: int) -> Any:
        """Ask until there is an answer that trying again would not better."""
        where = f"GET {path}" + (f" for {symbol}" if symbol else "")
        trouble = ""
        limited = False
        waited_until = 0.0
        for attempt in range(1, self._max_attempts + 1):
            wait_s = min(MAX_BACKOFF_S, FIRST_BACKOFF_S * 2 ** (attempt - 1))
            limited = False
            self._wait_while_refused(where, waited_until)
            if self._pacer is not None:
                self._pacer.take(weight)
            try:
                response = self._http.get(path, params=dict(params))
            except httpx.TransportError as error:
                trouble = f"{type(error).__name__}: {error}"
            except httpx.DecodingError as error:
                raise MalformedAnswerError(f"Binance answered {where} with a body that cannot be unpacked") from error
            else:
                if self._pacer is not None:
                    self._pacer.announced(response.headers.get(USED_WEIGHT_HEADER))
                limited = response.status_code in {418, 429}
                if limited:
                    trouble = f"status {response.status_code}: {TOO_MANY}"
                    wait_s = _retry_after_s(response, wait_s)
                    waited_until = self._refusal.hold(wait_s)
                    if wait_s > MAX_WAIT_S:
                        raise self._refused(where, wait_s, trouble)
                elif response.status_code >= 500 or response.status_code == 408:
                    trouble = f"status {response.status_code}: {_excerpt(response)}"
                else:
                    return self._answer(response, where, symbol)
            if attempt < self._max_attempts:
                self._sleep(wait_s)
        kind = TransientError if limited else ServiceUnavailableError
        raise kind(
            f"Binance at {self._base_url} gave no answer to {where} in {self._max_attempts} attempt(s), the last one: "
            f"{trouble}; check the network and TRADING_OPS_BINANCE_BASE_URL, or try again later"
        )

    def _wait_while_refused(self, where: str, waited_until: float) -> None:
        """Wait as long as another thread was told to; give up at once on what is too long to wait for."""
        left_s = self._refusal.left_s(waited_until)
        if left_s > MAX_WAIT_S:
            raise self._refused(where, left_s, TOO_MANY)
        if left_s:
            self._sleep(left_s)

    def _refused(self, where: str, wait_s: float, trouble: str) -> TransientError:
        until = datetime.fromtimestamp(self._clock(), tz=UTC) + timedelta(seconds=wait_s)
        return TransientError(
            f"Binance refuses {where} until {until.isoformat(timespec='seconds')} ({trouble}); "
            "the task tries again later: ask less often"
        )

    def _answer(self, response: httpx.Response, where: str, symbol: str) -> Any:
        """Read an answer below 500; status and content type come first, the body may be anything."""
        status = response.status_code
        body: Any = None
        is_json = "json" in response.headers.get("content-type", "").lower()
        if is_json:
            try:
                body = response.json()
            except ValueError as error:
                raise MalformedAnswerError(
                    f"Binance answered {where} with broken JSON: {_excerpt(response)}; try again later"
                ) from error
        if status == 200 and is_json:
            return body
        code = body.get("code") if isinstance(body, dict) else None
        if status == 400 and code is not None:
            message = str(body.get("msg", ""))
            if code == INVALID_SYMBOL_CODE or (code == ILLEGAL_CHARACTERS_CODE and "'symbol'" in message):
                raise _invalid_symbol(symbol)
            raise BadInputError(f"Binance refuses {where}: {message} (status 400, code {code}); correct the request")
        if status == 403:
            raise ServiceUnavailableError(
                f"Binance's firewall blocks {where} (status 403): too many or odd requests from this address; wait"
            )
        if status in {404, 451} or 300 <= status < 400:
            reason = "does not serve this region" if status == 451 else "is not Binance's REST address"
            raise ConfigurationError(
                f"{self._base_url} {reason} (status {status} for {where}): correct TRADING_OPS_BINANCE_BASE_URL"
            )
        if 400 <= status < 500:
            raise BadInputError(f"Binance refuses {where}: status {status}, {_excerpt(response)}; correct the request")
        raise MalformedAnswerError(
            f"Binance answered {where} with {response.headers.get('content-type', 'no content type')} instead of JSON "
            f"(status {status}): {_excerpt(response)}; is a proxy or a login page in between?"
        )


def _checked(symbol: str) -> str:
    """Refuse before asking what can be no symbol (Binance's own rule for its characters)."""
    if not SYMBOL_PATTERN.fullmatch(symbol):
        raise _invalid_symbol(symbol)
    return symbol


def _invalid_symbol(symbol: str) -> BadInputError:
    return BadInputError(f"Invalid symbol: {symbol} is not traded on Binance; use one such as BTCUSDT")


def _retry_after_s(response: httpx.Response, default_s: float) -> float:
    """Return the seconds of `Retry-After`, which may be a number or an HTTP date; else the default."""
    text = response.headers.get("retry-after", "").strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return default_s
    return min(max(0.0, seconds), LONGEST_BAN_S) if math.isfinite(seconds) else default_s


def _excerpt(response: httpx.Response) -> str:
    text = " ".join(response.text.split())
    return repr(text[:120]) if text else "an empty body"
