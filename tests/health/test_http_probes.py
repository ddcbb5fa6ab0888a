"""Engine, AI service and dashboard: what counts as an answer, and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from include.errors import ConfigurationError, TradingOpsError
from include.health.entry import answered, down
from include.health.http_probes import http_get, probe_ai_service, probe_engine, probe_frontend
from sandbox.control import Control
from sandbox.launcher import Sandbox

HTML = {"status": 200, "body": "<html>maintenance</html>", "content_type": "text/html"}


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ({"status": 500}, "status 500"),
        ({"status": 403}, "status 403"),
        ({"status": 304}, "status 304"),
        (HTML, "text/html"),
        ({"success_false": "database away"}, "database away"),
        ({"status": 200, "body": '{"ok": true}', "content_type": "application/json"}, "success"),
        ({"drop": True}, "failed"),
        ({"truncate": True}, "failed"),
    ],
    ids=["500", "403", "304", "html", "success-false", "other-json", "drop", "truncate"],
)
def test_an_engine_that_does_not_say_success_is_not_healthy(
    sandbox: Sandbox, control: Control, behaviour: dict[str, Any], words: str
) -> None:
    control.script("engine", "/api/health", **behaviour)
    with pytest.raises(TradingOpsError, match=words):
        probe_engine(sandbox.urls["engine"], 3.0)


def test_an_engine_without_market_data_is_degraded(sandbox: Sandbox, control: Control) -> None:
    data = {"websocket_connected": False, "api_responsive": True}
    control.script("engine", "/api/monitoring/connection", json={"success": True, "data": data, "error": None})
    entry = probe_engine(sandbox.urls["engine"], 3.0)
    assert entry.status == "degraded"
    assert entry.facts["market_data"] == "disconnected"
    assert "without market data" in entry.findings[0].text


@pytest.mark.parametrize("behaviour", [{"status": 404}, {"status": 500}, {"drop": True}, HTML])
def test_what_is_not_known_about_market_data_is_no_alert(
    sandbox: Sandbox, control: Control, behaviour: dict[str, Any]
) -> None:
    control.script("engine", "/api/monitoring/connection", **behaviour)
    entry = probe_engine(sandbox.urls["engine"], 3.0)
    assert (entry.status, entry.findings) == ("healthy", ())
    assert str(entry.facts["market_data"]).startswith("unknown")


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ({"status": 503}, "status 503"),
        ({"status": 429, "json": {"error": "Rate limit exceeded: 60 per 1 minute"}}, "status 429"),
        (HTML, "text/html instead of JSON"),
        ({"status": 200, "body": "{", "content_type": "application/json"}, "broken JSON"),
        ({"json": []}, "no object"),
        ({"json": {"status": "unhealthy"}}, "unhealthy"),
    ],
    ids=["503", "429", "html", "broken", "list", "unhealthy"],
)
def test_an_ai_service_whose_body_does_not_say_healthy_is_not(
    sandbox: Sandbox, control: Control, behaviour: dict[str, Any], words: str
) -> None:
    control.script("ai_service", "/health", **behaviour)
    with pytest.raises(TradingOpsError, match=words):
        probe_ai_service(sandbox.urls["ai_service"], 3.0)


def test_an_ai_service_without_its_database_is_degraded(sandbox: Sandbox, control: Control) -> None:
    control.ai_state(health={"status": "healthy", "mongodb_connected": False})
    entry = probe_ai_service(sandbox.urls["ai_service"], 3.0)
    assert entry.to_dict()["status"] == "degraded"
    assert entry.facts["mongodb_connected"] is False
    assert [finding.code for finding in entry.findings] == ["mongodb_disconnected"]


@pytest.mark.parametrize("status", [200, 304])
def test_a_dashboard_that_answers_200_or_304_is_healthy(sandbox: Sandbox, control: Control, status: int) -> None:
    control.script("frontend", "/", status=status)
    assert probe_frontend(sandbox.urls["frontend"], 3.0).status == "healthy"


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_a_dashboard_with_another_status_is_not(sandbox: Sandbox, control: Control, status: int) -> None:
    control.script("frontend", "/", status=status)
    with pytest.raises(TradingOpsError, match=f"status {status}"):
        probe_frontend(sandbox.urls["frontend"], 3.0)


def test_a_dashboard_that_redirects_to_its_login_page_is_healthy(sandbox: Sandbox, control: Control) -> None:
    control.script("frontend", "/", status=307, headers={"location": "/?login"}, times=1)
    assert probe_frontend(sandbox.urls["frontend"], 3.0).status == "healthy"


@pytest.mark.parametrize("address", ["localhost:8080", "ftp://host/", "http://", "http://[::1"])
def test_an_address_that_is_none_is_said_without_asking(address: str) -> None:
    with pytest.raises(ConfigurationError, match="configured address"):
        http_get(address, "/", 1.0)


def test_slow_starts_beyond_the_limit_and_names_the_milliseconds() -> None:
    assert answered("Rust Core Engine", 5.0, 5.0).findings == ()
    entry = answered("Rust Core Engine", 8.0, 5.0)
    assert (entry.status, entry.facts["slow"]) == ("healthy", True)
    assert entry.findings[0].text == "⚠️ Rust Core Engine slow response (8000ms)"


def test_only_the_engine_is_the_primary_trading_service() -> None:
    assert [finding.text for finding in down("Rust Core Engine", "Connection refused").findings] == [
        "❌ Rust Core Engine is DOWN: Connection refused",
        "🚨 CRITICAL: Primary trading service unavailable!",
    ]
    assert [finding.text for finding in down("Redis", "no").findings] == ["❌ Redis is DOWN: no"]
