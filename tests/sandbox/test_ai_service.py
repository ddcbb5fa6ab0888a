"""The AI service and the dashboard against the bodies that were captured from them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx
import pytest

from sandbox.control import Control, ControlError
from sandbox.launcher import Sandbox

HEALTH = json.loads(
    '{"status":"healthy","timestamp":"2026-11-22T01:50:49.613149+00:00","service":"Grok Trading AI","version":"3.0.0",'
    '"grok_available":false,"api_key_configured":false,"mongodb_connected":false,"analysis_interval_minutes":15,'
    '"supported_symbols":["BTCUSDT","ETHUSDT","BNBUSDT","SOLUSDT"]}'
)
COSTS = json.loads(
    '{"session_statistics":{"total_requests":10,"total_input_tokens":4000,"total_output_tokens":900,'
    '"total_tokens":4900,"total_cost_usd":1.2345,"total_cost_vnd":28394.0,"average_cost_per_request_usd":0.12345,'
    '"average_tokens_per_request":490.0},"projections":{"estimated_daily_cost_usd":47.405,'
    '"estimated_daily_cost_vnd":1090310.0,"estimated_monthly_cost_usd":1422.14,"estimated_monthly_cost_vnd":32709312.0},'
    '"configuration":{"model":"grok-4-1-fast-non-reasoning","analysis_interval_minutes":15,"symbols_tracked":4,'
    '"cache_duration_minutes":15,"max_tokens":1200,"input_cost_per_1m_tokens":0.2,"output_cost_per_1m_tokens":0.5},'
    '"optimization_status":{"cache_optimized":true,"interval_optimized":true,"prompt_optimized":true,'
    '"max_tokens_optimized":true,"estimated_savings_percent":63},"timestamp":"2026-11-22T01:50:55.320318+00:00"}'
)


@pytest.fixture
def ai(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox.urls["ai_service"], trust_env=False, verify=False) as client:
        yield client


def without_time(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "timestamp"}


def test_cost_statistics_equal_the_captured_body_for_the_same_counters(control: Control, ai: httpx.Client) -> None:
    control.ai_state(costs={"requests": 10, "input_tokens": 4000, "output_tokens": 900, "cost_usd": 1.2345})
    body = ai.get("/ai/cost/statistics").json()
    assert list(body) == list(COSTS)
    assert without_time(body) == without_time(COSTS)
    assert datetime.fromisoformat(body["timestamp"]).utcoffset() is not None


def test_cost_statistics_without_a_request_do_not_divide_by_zero(control: Control, ai: httpx.Client) -> None:
    control.ai_state(costs={"requests": 0, "input_tokens": 0, "output_tokens": 0, "cost_usd": 0.0})
    body = ai.get("/ai/cost/statistics").json()
    assert body["session_statistics"]["average_cost_per_request_usd"] == 0
    assert body["projections"]["estimated_daily_cost_usd"] == 0


def test_a_projection_can_be_given(control: Control, ai: httpx.Client) -> None:
    control.ai_state(costs={"cost_usd": 1.87, "daily_projection_usd": 1.87})
    projections = ai.get("/ai/cost/statistics").json()["projections"]
    assert projections["estimated_daily_cost_usd"] == 1.87
    assert projections["estimated_monthly_cost_usd"] == 56.1


def test_health_has_the_captured_shape_and_hides_a_missing_database(control: Control, ai: httpx.Client) -> None:
    control.ai_state(health={"mongodb_connected": False, "grok_available": False, "api_key_configured": False})
    body = ai.get("/health")
    assert body.status_code == 200
    assert list(body.json()) == list(HEALTH)
    assert without_time(body.json()) == without_time(HEALTH)


def test_performance_is_constant(control: Control, ai: httpx.Client) -> None:
    body = ai.get("/ai/performance").json()
    assert (body["overall_accuracy"], body["predictions_made"]) == (0.85, 0)
    assert ai.get("/ai/info").json()["last_trained"] is None


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/ai/model/accuracy_history"), ("POST", "/ai/train"), ("GET", "/ai/train"), ("GET", "/metrics"),
     ("POST", "/api/tasks/train"), ("GET", "/cost/statistics")],
)  # fmt: skip
def test_what_does_not_exist_is_a_json_404(control: Control, ai: httpx.Client, method: str, path: str) -> None:
    answer = ai.request(method, path)
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


def test_the_rate_limit_has_its_own_form_and_no_retry_after(control: Control, ai: httpx.Client) -> None:
    control.script("ai_service", "/ai/cost/*", status=429, json={"error": "Rate limit exceeded: 60 per 1 minute"})
    answer = ai.get("/ai/cost/statistics")
    assert (answer.status_code, answer.json()) == (429, {"error": "Rate limit exceeded: 60 per 1 minute"})
    assert "retry-after" not in answer.headers


def test_the_specifications_endpoints_can_be_switched_on(control: Control, ai: httpx.Client) -> None:
    control.ai_state(spec_endpoints=True, accuracy={"lstm": [0.68, 0.65, 0.63]})
    history = ai.get("/ai/model/accuracy_history", params={"days": 2}).json()["accuracy_history"]["lstm"]
    assert [point["accuracy"] for point in history] == [0.65, 0.63]
    assert history[0]["date"] < history[1]["date"]
    assert ai.post("/ai/train", json={}).status_code == 202


def test_an_unknown_state_is_refused(control: Control) -> None:
    with pytest.raises(ControlError, match=r"unknown state: costs\.dollars"):
        control.ai_state(costs={"dollars": 1})


def test_the_dashboard_answers_a_page_or_not_modified(sandbox: Sandbox, control: Control) -> None:
    page = httpx.get(sandbox.urls["frontend"] + "/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    again = httpx.get(sandbox.urls["frontend"] + "/", headers={"If-None-Match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
