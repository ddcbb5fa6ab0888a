"""A client for the control endpoints: script a stand-in's behaviour, read what it received.

control = sandbox.control                       # or Control.from_file(".run/sandbox-urls.json")
control.script("engine", "/api/health", status=503, times=2)
control.scenario("losing")
control.answers('{"recommendation": "wait", "confidence": 0.9, "urgency": "low"}')
control.advance(days=14)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from sandbox.openai_api import bodies

SERVICES = ("engine", "ai_service", "frontend", "binance", "openai_api", "sinks")


class ControlError(RuntimeError):
    """A stand-in refused a control request; the message is its answer."""


class Control:
    """The control endpoints of one environment.

    :param urls: base address by service name, as `Sandbox.urls` has them.
    """

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._urls = {name: url.removesuffix("/v1") for name, url in urls.items() if name in SERVICES}
        self._http = httpx.Client(timeout=30.0, trust_env=False, verify=False)

    @classmethod
    def from_file(cls, urls_file: Path) -> Control:
        """Return the client for a sandbox that `python -m sandbox.launcher --urls-file` runs."""
        return cls(json.loads(urls_file.read_text())["urls"])

    def __enter__(self) -> Control:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close its connections."""
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    # --- every stand-in

    def script(self, service: str, path: str = "*", **behaviour: Any) -> None:
        """Let a stand-in deviate for the requests whose path matches a shell pattern.

        See `sandbox.kit.behaviour.Behaviour` for the keys: `times`, `method`, `delay_s`, `status`, `body`, `json`,
        `content_type`, `headers`, `retry_after`, `drop`, `truncate`, `success_false`. Behaviours that match the same
        request apply one after the other, oldest first.
        """
        self._call("POST", service, "behaviours", {"path": path, **behaviour})

    def reset(self, service: str | None = None) -> None:
        """Put one stand-in, or all, back to normal: behaviours, recorded requests and own state.

        The candles' shift and the advanced clock stay: they belong to the environment.
        """
        for name in [service] if service else self._urls:
            self._call("POST", name, "reset")

    def requests(self, service: str, path: str | None = None) -> list[dict[str, Any]]:
        """Return the recorded requests, oldest first: method, path, query, headers, body, time, status."""
        recorded: list[dict[str, Any]] = self._call("GET", service, "requests")
        return [request for request in recorded if path in {None, request["path"]}]

    # --- exchange

    def advance(self, days: float = 0, hours: float = 0) -> dict[str, Any]:
        """Move the exchange's clock forward and return it: `now_ms`, `advance_hours`, `days_ahead`.

        :raises ControlError: when fewer candles lie ahead.
        """
        clock: dict[str, Any] = self._call("POST", "binance", "advance", {"days": days, "hours": hours})
        return clock

    def data(self) -> dict[str, Any]:
        """Return which candles the sandbox runs on, and its clock."""
        about: dict[str, Any] = self._call("GET", "binance", "data")
        return about

    def list_symbols(self, **listings: str) -> None:
        """Let the exchange trade more symbols until the next reset: name -> the symbol whose candles it has too."""
        self._call("POST", "binance", "listings", listings)

    def limit_weight(self, limit: int) -> None:
        """Let the exchange refuse what exceeds so much request weight in a minute."""
        self._call("POST", "binance", "weight-limit", {"limit": limit})

    # --- core engine and AI service

    def scenario(self, name: str = "good", **options: Any) -> dict[str, Any]:
        """Let the engine tell another story: `good`, `losing`, `mediocre`, `few`, `none`, or a list `trades`.

        Options: `seed`, `before` (name of the pattern before the last week), `trades`.
        """
        answer: dict[str, Any] = self._call("POST", "engine", "scenario", {"name": name, **options})
        return answer

    def engine_state(self, **values: Any) -> dict[str, Any]:
        """Set engine switches and return its state.

        Switches: `spec_endpoints`, `uptime_minutes`, `running`, `pending_orders`, `pending_signals`.
        """
        method = "POST" if values else "GET"
        state: dict[str, Any] = self._call(method, "engine", "state", values or None)
        return state

    def restart_engine(self) -> None:
        """Let the engine forget what a restart loses: settings and disabled strategies."""
        self._call("POST", "engine", "restart")

    def ai_state(self, **values: Any) -> None:
        """Set the AI service's `costs`, `health`, `accuracy` or `spec_endpoints`."""
        self._call("POST", "ai_service", "state", values)

    # --- GPT-4

    def answers(self, *answers: str | dict[str, Any]) -> None:
        """Queue what the next chat requests get: raw content, or `{content, refusal, finish_reason, ...}`."""
        self._call("POST", "openai_api", "answers", {"answers": list(answers)})

    def rate_limit_gpt4(self, times: int | None = None, retry_after: float = 20.0) -> None:
        """Let chat requests fail with 429 `rate_limit_exceeded`."""
        body = bodies.rate_limited(wait_s=retry_after)
        self.script("openai_api", "/v1/chat/completions", json=body, retry_after=retry_after, times=times)

    def fail_gpt4(self, times: int | None = None) -> None:
        """Let chat requests fail with 500."""
        self.script("openai_api", "/v1/chat/completions", status=500, json=bodies.server_error(), times=times)

    # --- sinks

    def messages(self, channel: str | None = None) -> list[dict[str, Any]]:
        """Return what `slack`, `discord`, `telegram` or `smtp` (or all) accepted: channel, payload, time."""
        received: list[dict[str, Any]] = self._call(
            "GET", "sinks", "messages" + (f"?channel={channel}" if channel else "")
        )
        return received

    def mail_trouble(self, **trouble: Any) -> None:
        """Let the mail server refuse: `reply` (an SMTP reply line), `times`, `delay_s`, `drop`."""
        self._call("POST", "sinks", "smtp", trouble)

    def _call(self, method: str, service: str, path: str, body: Any = None) -> Any:
        if service not in self._urls:
            raise ControlError(f"no stand-in {service!r} here; there are {', '.join(self._urls)}")
        response = self._http.request(method, f"{self._urls[service]}/__sandbox__/{path}", json=body)
        if response.is_error:
            raise ControlError(f"{service} refused {method} {path}: {response.text}")
        return response.json()
