"""Settings over HTTP: what the engine applies, ignores and refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.engine.defaults import INDICATOR_SETTINGS, STRATEGY_SETTINGS
from sandbox.engine.envelope import body_error, stamped
from sandbox.engine.state import EngineState
from sandbox.engine.trades import TradeBook

PAPER = "/api/paper-trading"


class SettingsRoutes:
    """Strategy, basic, indicator and symbol settings, and the portfolio's reset."""

    def __init__(self, state: Callable[[], EngineState]) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route(f"{PAPER}/strategy-settings", self._get("strategy_settings"), methods=["GET"]),
            Route(f"{PAPER}/strategy-settings", self._put_strategy, methods=["PUT"]),
            Route(f"{PAPER}/indicator-settings", self._get("indicator_settings"), methods=["GET"]),
            Route(f"{PAPER}/indicator-settings", self._put_indicators, methods=["PUT"]),
            Route(f"{PAPER}/basic-settings", self._get("basic_settings"), methods=["GET"]),
            Route(f"{PAPER}/basic-settings", self._put_basic, methods=["PUT"]),
            Route(f"{PAPER}/settings", self._put_settings, methods=["PUT"]),
            Route(f"{PAPER}/symbols", self._put_symbols, methods=["PUT"]),
            Route(f"{PAPER}/start", self._switch(True), methods=["POST"]),
            Route(f"{PAPER}/stop", self._switch(False), methods=["POST"]),
            Route(f"{PAPER}/reset", self._reset, methods=["POST"]),
        ]

    def _get(self, name: str) -> Any:
        async def endpoint(_: Request) -> Response:
            return stamped(getattr(self._state(), name))

        return endpoint

    def _switch(self, running: bool) -> Any:
        async def endpoint(_: Request) -> Response:
            self._state().running = running
            word = "started" if running else "stopped"
            return stamped({"message": f"Paper trading engine {word} successfully"})

        return endpoint

    async def _put_strategy(self, request: Request) -> Response:
        """Apply `risk`, the threshold, the resolution and the preset; the rest is accepted and ignored."""
        body = await _object(request)
        missing = _missing(body, {"settings": STRATEGY_SETTINGS}, optional={"market_preset", "data_resolution"})
        if body is None or missing:
            return body_error(missing or "expected an object")
        asked = body["settings"]
        threshold = asked["engine"]["min_confidence_threshold"]
        if not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
            return stamped(None, "Failed to update settings: min_confidence_threshold must be between 0 and 1", 500)
        settings = self._state().strategy_settings
        settings["risk"] = asked["risk"]
        settings["engine"]["min_confidence_threshold"] = threshold
        settings["engine"]["data_resolution"] = asked["engine"].get("data_resolution", "15m")
        settings["market_preset"] = asked.get("market_preset", settings["market_preset"])
        return stamped({"message": "Strategy settings updated successfully", "applied_settings": asked})

    async def _put_indicators(self, request: Request) -> Response:
        """Replace whole blocks; a flat body is 200 and changes nothing."""
        body = await _object(request)
        if body is None:
            return body_error("expected an object")
        given = {name: body[name] for name in INDICATOR_SETTINGS if body.get(name) is not None}
        missing = _missing(given, {name: INDICATOR_SETTINGS[name] for name in given})
        if missing:
            return body_error(missing)
        refused = _out_of_range(given)
        if refused:
            return stamped(None, refused, 400)
        self._state().indicator_settings |= given
        return stamped({"message": "Indicator settings updated successfully"})

    async def _put_basic(self, request: Request) -> Response:
        """Set single numbers by their flat names; `initial_balance` also resets the portfolio."""
        body = await _object(request)
        if body is None:
            return body_error("expected an object")
        state = self._state()
        for group in state.basic_settings.values():
            group |= {name: body[name] for name in group if name in body}
        if "initial_balance" in body:
            self._clear_trades()
        return stamped({"message": "Basic settings updated successfully", "database_saved": True})

    async def _put_settings(self, request: Request) -> Response:
        body = await _object(request)
        if body is None or "settings" not in body:
            return body_error("missing field `settings`")
        return stamped({"message": "Settings updated successfully"})

    async def _put_symbols(self, request: Request) -> Response:
        body = await _object(request)
        if body is None or not isinstance(body.get("symbols"), dict):
            return body_error("missing field `symbols`")
        self._state().symbol_settings |= body["symbols"]
        return stamped({"message": "Symbol settings updated successfully"})

    async def _reset(self, _: Request) -> Response:
        self._clear_trades()
        return stamped({"message": "Portfolio reset successfully"})

    def _clear_trades(self) -> None:
        book = self._state().book
        self._state().book = TradeBook(book.pattern, book.before, book.seed, book.now, custom=[])


async def _object(request: Request) -> dict[str, Any] | None:
    try:
        body = json.loads(await request.body())
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _missing(body: Any, model: dict[str, Any], optional: frozenset[str] | set[str] = frozenset()) -> str:
    """Return serde's complaint about the first field that lacks or has another type, or an empty string."""
    if not isinstance(body, dict):
        return "invalid type, expected a map"
    for name, example in model.items():
        if name not in body:
            if name in optional:
                continue
            return f"missing field `{name}`"
        value = body[name]
        if isinstance(example, dict):
            complaint = _missing(value, example, optional)
            if complaint:
                return complaint
        elif not _same_type(value, example):
            return f"invalid type for `{name}`"
    return ""


def _same_type(value: Any, example: Any) -> bool:
    if isinstance(example, bool):
        return isinstance(value, bool)
    if isinstance(example, int):
        return isinstance(value, int) and not isinstance(value, bool)
    if isinstance(example, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, type(example))


_RANGES = {
    "rsi_period": (5, 50),
    "macd_signal": (1, 20),
    "bollinger_period": (5, 50),
    "bollinger_std": (1, 4),
    "stochastic_k_period": (5, 30),
    "trend_threshold_percent": (0, 10),
    "min_required_timeframes": (1, 4),
    "min_required_indicators": (1, 5),
}


def _out_of_range(blocks: dict[str, Any]) -> str:
    for block in blocks.values():
        for name, (low, high) in _RANGES.items():
            if name in block and not low <= block[name] <= high:
                return f"{name} must be between {low} and {high}"
    indicators = blocks.get("indicators", {})
    if indicators and indicators["macd_fast"] >= indicators["macd_slow"]:
        return "macd_fast must be less than macd_slow"
    return ""
