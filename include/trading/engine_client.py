"""The trading bot's core engine over HTTP: what this bundle reads from it."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

import httpx

from include.errors import BadInputError, MalformedAnswerError, ServiceUnavailableError
from include.trading.envelope import read_envelope
from include.trading.portfolio import Portfolio, parse_portfolio
from include.trading.trades import Trade, parse_trades

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""The engine keeps at most some ten thousand trades, about 5 MB; more than this is not its answer."""


class EngineClient:
    """Reads from the core engine, without retries of its own (the task's retry policy has them).

    :param base_url: for instance `http://localhost:8080`.
    :param timeout_s: for connecting and for the whole answer: one that trickles is cut off, too.

    Each method raises :class:`ServiceUnavailableError` when the engine cannot be reached, is too slow,
    answers an error status or `success: false`, and :class:`MalformedAnswerError` when it answers
    something else than its contract says. Both name the path and what came.
    """

    def __init__(self, base_url: str, timeout_s: float) -> None:
        try:
            self._base = httpx.URL(base_url)
        except httpx.InvalidURL as error:
            raise BadInputError(f"the engine's base address {base_url!r} is not a URL: {error}") from None
        if self._base.scheme not in ("http", "https") or not self._base.host:
            raise BadInputError(f"the engine's base address must be http(s)://host[:port], not {base_url!r}")
        self._timeout_s = timeout_s

    def health(self) -> str:
        """Return what `GET /api/health` says: a constant, proof only of a process that answers."""
        path = "/api/health"
        data = self._get(path)
        if not isinstance(data, str):
            raise MalformedAnswerError(f"{self._what(path)} answered data {data!r:.100} instead of a text")
        return data

    def portfolio(self) -> Portfolio:
        """Return the paper portfolio (`GET /api/paper-trading/portfolio`)."""
        path = "/api/paper-trading/portfolio"
        data = self._get(path)
        try:
            return parse_portfolio(data)
        except MalformedAnswerError as error:
            raise MalformedAnswerError(f"{self._what(path)}: {error}") from None

    def closed_trades(self, since: datetime | None = None) -> list[Trade]:
        """Return the closed paper trades, oldest first, each once (`GET /api/paper-trading/trades/closed`).

        The engine always answers its whole history; filter with `include.trading.trades.closed_between`.

        :param since: aware UTC; malformed trades that provably closed before it are logged, not refused.
            Without it every malformed trade refuses the answer.
        """
        path = "/api/paper-trading/trades/closed"
        data = self._get(path)
        if not isinstance(data, list):
            raise MalformedAnswerError(f"{self._what(path)} answered data {data!r:.100} instead of a list of trades")
        try:
            return parse_trades(data, since)
        except MalformedAnswerError as error:
            raise MalformedAnswerError(f"{self._what(path)}: {error}") from None

    def _what(self, path: str) -> str:
        port = f":{self._base.port}" if self._base.port else ""
        return f"engine GET {path} at {self._base.host}{port}"

    def _get(self, path: str) -> Any:
        what = self._what(path)
        deadline = time.monotonic() + self._timeout_s
        url = self._base.copy_with(raw_path=self._base.raw_path.rstrip(b"/") + path.encode())
        try:
            with httpx.stream("GET", url, timeout=self._timeout_s, headers={"Accept": "application/json"}) as answer:
                body = bytearray()
                for chunk in answer.iter_bytes():
                    body += chunk
                    if time.monotonic() > deadline:
                        raise ServiceUnavailableError(f"{what} did not finish its answer in {self._timeout_s:g} s")
                    if len(body) > MAX_ANSWER_BYTES:
                        raise MalformedAnswerError(f"{what} answered more than {MAX_ANSWER_BYTES >> 20} MiB")
                return read_envelope(what, answer.status_code, answer.headers.get("content-type", ""), bytes(body))
        except httpx.TimeoutException:
            raise ServiceUnavailableError(
                f"{what} did not answer in {self._timeout_s:g} s; is it overloaded?"
            ) from None
        except httpx.DecodingError as error:
            raise MalformedAnswerError(f"{what} answered a body that cannot be decoded: {error}") from None
        except httpx.HTTPError as error:
            raise ServiceUnavailableError(f"{what} cannot be reached ({error}); is the engine running?") from None
