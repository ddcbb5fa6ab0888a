"""The trading bot's core engine over HTTP: what this bundle reads from it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from include.errors import MalformedAnswerError
from include.trading.engine_http import EngineHttp
from include.trading.envelope import read_envelope
from include.trading.portfolio import Portfolio, parse_portfolio
from include.trading.trades import Trade, parse_trades


class EngineClient:
    """Reads from the core engine, without retries of its own (the task's retry policy has them).

    :param base_url: for instance `http://localhost:8080`.
    :param timeout_s: for connecting and for the whole answer: one that trickles is cut off, too.

    Each method raises :class:`ServiceUnavailableError` when the engine cannot be reached, is too slow,
    answers an error status or `success: false`, and :class:`MalformedAnswerError` when it answers
    something else than its contract says. Both name the path and what came.
    """

    def __init__(self, base_url: str, timeout_s: float) -> None:
        self._http = EngineHttp(base_url, timeout_s)

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
        return self._http.what("GET", path)

    def _get(self, path: str) -> Any:
        answer = self._http.send("GET", path)
        return read_envelope(answer.what, answer.status, answer.content_type, answer.body)
