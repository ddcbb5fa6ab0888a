"""What this bundle tells the core engine to do: single requests, without retries of their own.

The specification has `POST /api/strategies/{name}/disable` and `.../enable` and `GET /api/strategies/active`; the
shipped engine has none of them and answers 404 with an empty body. The settings exist there.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from include.errors import MalformedAnswerError, ServiceUnavailableError, TradingOpsError
from include.trading.engine_http import Answer, EngineHttp
from include.trading.envelope import read_envelope
from include.trading.strategy_names import canonical_name

MISSING = (404, 405)
ASK_AGAIN = (408, 425, 429)
"""Refusals that pass by themselves."""

STRATEGIES = "/api/strategies"
BASIC_SETTINGS = "/api/paper-trading/basic-settings"
STRATEGY_SETTINGS = "/api/paper-trading/strategy-settings"


class EndpointMissingError(TradingOpsError):
    """The engine has no such endpoint, or does not know that strategy: asking again cannot help."""


class CommandRefusedError(TradingOpsError):
    """The engine understood the command and refused it: asking again cannot help."""


class EngineCommands:
    """Commands to the engine, each sent once.

    Every method raises :class:`EndpointMissingError` for 404 and 405, :class:`CommandRefusedError` for other 4xx, and
    the transient errors of :class:`~include.trading.engine_http.EngineHttp` for the rest (5xx, `success: false`, HTML,
    nothing, too slow).
    """

    def __init__(self, base_url: str, timeout_s: float) -> None:
        self._http = EngineHttp(base_url, timeout_s)

    def disable_strategy(self, name: str) -> int:
        """Disable one strategy and return how many pending signals the engine says it cancelled (0: it does not say).

        :param name: canonical.
        """
        data = self._strategy(name, "disable")
        if data.get("disabled") is False:
            raise ServiceUnavailableError(
                f"{self._http.what('POST', _path(name, 'disable'))} answered disabled: false, so {name} still trades"
            )
        cancelled = data.get("pending_signals_cancelled")
        return cancelled if isinstance(cancelled, int) and not isinstance(cancelled, bool) and cancelled > 0 else 0

    def enable_strategy(self, name: str) -> None:
        """Let one strategy trade again.

        :param name: canonical.
        """
        data = self._strategy(name, "enable")
        if data.get("disabled") is True:
            raise ServiceUnavailableError(
                f"{self._http.what('POST', _path(name, 'enable'))} answered disabled: true, so {name} does not trade"
            )

    def active_strategies(self) -> frozenset[str] | None:
        """Return the canonical names of the strategies that trade; None where the engine cannot say (404, 405)."""
        answer = self._http.send("GET", f"{STRATEGIES}/active")
        if answer.status in MISSING:
            return None
        data = _bare_or_enveloped(answer)
        if not isinstance(data, list) or not all(isinstance(name, str) for name in data):
            raise MalformedAnswerError(f"{answer.what} answered {data!r:.100} instead of a list of names")
        return frozenset(canonical_name(name) for name in data)

    def basic_settings(self) -> dict[str, Any]:
        """Return the engine's basic settings, in groups."""
        return self._settings("GET", BASIC_SETTINGS)

    def change_basic_settings(self, changes: dict[str, Any]) -> None:
        """Set single values by their flat names; all others stay (an unknown name is ignored with 200: read back)."""
        self._settings("PUT", BASIC_SETTINGS, changes)

    def strategy_settings(self) -> dict[str, Any]:
        """Return the strategy settings as a whole."""
        return self._settings("GET", STRATEGY_SETTINGS)

    def replace_strategy_settings(self, whole: dict[str, Any]) -> None:
        """Write the strategy settings; the engine wants every field, so send what was read, changed."""
        self._settings("PUT", STRATEGY_SETTINGS, {"settings": whole})

    def _strategy(self, name: str, verb: str) -> dict[str, Any]:
        answer = _accepted(self._http.send("POST", _path(name, verb), {}))
        if 200 <= answer.status < 300 and not answer.body:
            return {}  # an engine may say no more than "done"; reading back shows whether it is
        data = read_envelope(answer.what, answer.status, answer.content_type, answer.body)
        return data if isinstance(data, dict) else {}

    def _settings(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = _accepted(self._http.send(method, path, body))
        data = read_envelope(answer.what, answer.status, answer.content_type, answer.body)
        if not isinstance(data, dict):
            raise MalformedAnswerError(f"{answer.what} answered data {data!r:.100} instead of an object")
        return data


def _path(name: str, verb: str) -> str:
    return f"{STRATEGIES}/{quote(name, safe='')}/{verb}"


def _accepted(answer: Answer) -> Answer:
    """Return the answer unless its status says that asking again is useless."""
    if answer.status in MISSING:
        said = answer.body.decode("utf-8", "replace").strip()
        words = f": {said:.200}" if said else " and an empty body"
        raise EndpointMissingError(
            f"{answer.what} answered status {answer.status}{words}; this engine cannot do that, or knows no such name"
        )
    if 400 <= answer.status < 500 and answer.status not in ASK_AGAIN:
        try:
            read_envelope(answer.what, answer.status, answer.content_type, answer.body)
        except ServiceUnavailableError as error:
            raise CommandRefusedError(str(error)) from None
    return answer


def _bare_or_enveloped(answer: Answer) -> Any:
    """Return the data of the engine's envelope, or a bare JSON list (which is how the specification writes it)."""
    if 200 <= answer.status < 300 and answer.body.lstrip().startswith(b"["):
        try:
            return json.loads(answer.body)
        except (ValueError, RecursionError) as error:
            raise MalformedAnswerError(f"{answer.what} answered broken JSON: {error}") from None
    return read_envelope(answer.what, answer.status, answer.content_type, answer.body)
