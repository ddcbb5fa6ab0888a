"""Engine, AI service and dashboard over HTTP: status, body, and how long the answer took."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import httpx

from include.errors import ConfigurationError, MalformedAnswerError, ServiceUnavailableError, TradingOpsError
from include.health.entry import AI_SERVICE, ENGINE, FRONTEND, Entry, Finding, Level, answered
from include.trading.envelope import read_envelope

SERVICE_SLOW_S = 5.0
FRONTEND_SLOW_S = 3.0
MAX_BODY_BYTES = 1_000_000
CONNECTION_TIMEOUT_S = 2.0
"""For the engine's own view of its market data, which is a note and not what decides."""
FRONTEND_FINE = (200, 304)


@dataclass(frozen=True)
class HttpAnswer:
    """An answer, read to its end; `took_s` from the request on."""

    status: int
    content_type: str
    body: bytes
    took_s: float


def http_get(base_url: str, path: str, timeout_s: float, *, follow_redirects: bool = False) -> HttpAnswer:
    """Return the answer to a GET; the time-out is for the whole of it.

    :raises ConfigurationError: for an address that is none.
    :raises ServiceUnavailableError: when the service cannot be reached, or does not finish in time.
    """
    try:
        base = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"the configured address is not a URL: {error}") from None
    if base.scheme not in ("http", "https") or not base.host:
        raise ConfigurationError("the configured address must be http(s)://host[:port]")
    what = f"GET {path} at {base.host}{f':{base.port}' if base.port else ''}"
    url = base.copy_with(raw_path=base.raw_path.rstrip(b"/") + path.encode())
    began = time.monotonic()
    try:
        with httpx.stream("GET", url, timeout=timeout_s, follow_redirects=follow_redirects) as answer:
            body = bytearray()
            for chunk in answer.iter_bytes():
                body += chunk
                if time.monotonic() - began > timeout_s:
                    raise ServiceUnavailableError(f"{what} did not finish its answer in {timeout_s:g} s")
                if len(body) > MAX_BODY_BYTES:
                    break
        kind = answer.headers.get("content-type", "")
        return HttpAnswer(answer.status_code, kind, bytes(body), time.monotonic() - began)
    except httpx.TimeoutException:
        raise ServiceUnavailableError(f"{what} did not answer in {timeout_s:g} s") from None
    except httpx.HTTPError as error:
        raise ServiceUnavailableError(f"{what} failed ({type(error).__name__}: {error})") from None


def probe_engine(base_url: str, timeout_s: float) -> Entry:
    """Ask `GET /api/health`, and what the engine says about its market data.

    The health answer is a constant: proof of a process that answers, no more. `websocket_connected` of
    `GET /api/monitoring/connection` is false while the engine holds not a single price.

    :raises TradingOpsError: for anything but status 2xx with the engine's envelope and `success: true`.
    """
    path = "/api/health"
    answer = http_get(base_url, path, timeout_s)
    read_envelope(f"GET {path}", answer.status, answer.content_type, answer.body)
    left_s = min(CONNECTION_TIMEOUT_S, timeout_s - answer.took_s - 0.2)
    market_data = _market_data(base_url, left_s) if left_s > 0 else "unknown: no time left to ask"
    findings: tuple[Finding, ...] = ()
    if market_data == "disconnected":
        text = f"⚠️ {ENGINE} degraded: it is running without market data (websocket_connected: false)"
        findings = (Finding(ENGINE, "no_market_data", Level.WARNING, text),)
    return answered(ENGINE, answer.took_s, SERVICE_SLOW_S, findings, market_data=market_data)


def _market_data(base_url: str, timeout_s: float) -> str:
    path = "/api/monitoring/connection"
    try:
        answer = http_get(base_url, path, timeout_s)
        data = read_envelope(f"GET {path}", answer.status, answer.content_type, answer.body)
    except TradingOpsError as error:
        return f"unknown: {error!s:.150}"  # another version of the engine may not have it
    connected = data.get("websocket_connected") if isinstance(data, dict) else None
    return {True: "connected", False: "disconnected"}.get(connected, "unknown: not said")  # type: ignore[arg-type]


def probe_ai_service(base_url: str, timeout_s: float) -> Entry:
    """Ask `GET /health` and look into its body: the status is 200 even while the service has no database.

    :raises TradingOpsError: for another status, a body that is not the service's, or one that says it is not healthy.
    """
    answer = http_get(base_url, "/health", timeout_s)
    if answer.status != httpx.codes.OK:
        raise ServiceUnavailableError(f"GET /health answered status {answer.status}")
    health = _json_object(answer)
    if health.get("status") != "healthy":
        raise ServiceUnavailableError(f"GET /health says status {health.get('status')!r:.100}")
    findings: tuple[Finding, ...] = ()
    if health.get("mongodb_connected") is False:
        text = f"⚠️ {AI_SERVICE} degraded: its MongoDB is not connected"
        findings = (Finding(AI_SERVICE, "mongodb_disconnected", Level.WARNING, text),)
    facts = {name: health[name] for name in ("mongodb_connected",) if name in health}
    return answered(AI_SERVICE, answer.took_s, SERVICE_SLOW_S, findings, **facts)


def probe_frontend(base_url: str, timeout_s: float) -> Entry:
    """Ask `GET /`: 200 or 304 is fine, also after a redirect to the login page.

    :raises ServiceUnavailableError: for any other status.
    """
    answer = http_get(base_url, "/", timeout_s, follow_redirects=True)
    if answer.status not in FRONTEND_FINE:
        raise ServiceUnavailableError(f"GET / answered status {answer.status}")
    return answered(FRONTEND, answer.took_s, FRONTEND_SLOW_S)


def _json_object(answer: HttpAnswer) -> dict[str, Any]:
    kind = answer.content_type.split(";")[0].strip().lower()
    if kind != "application/json":
        raise MalformedAnswerError(f"GET /health answered {kind or 'no content type'} instead of JSON")
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise MalformedAnswerError(f"GET /health answered broken JSON ({error})") from None
    if not isinstance(value, dict):
        raise MalformedAnswerError("GET /health answered JSON that is no object")
    return value
