"""Scripted behaviour over the control endpoint, on a real server."""

from __future__ import annotations

import httpx
import pytest

from sandbox.control import Control, ControlError
from sandbox.launcher import Sandbox

HEALTH = "/api/health"


def test_a_failure_applies_so_many_times_and_then_the_service_is_normal(control: Control, engine: httpx.Client) -> None:
    control.script("engine", HEALTH, status=503, times=2)
    assert [engine.get(HEALTH).status_code for _ in range(4)] == [503, 503, 200, 200]


def test_behaviours_apply_one_after_the_other(control: Control, engine: httpx.Client) -> None:
    control.script("engine", HEALTH, status=500, times=1)
    control.script("engine", HEALTH, body="<html>bad gateway</html>", status=502, times=1)
    control.script("engine", HEALTH, success_false="Database error", times=1)
    first, second, third = (engine.get(HEALTH) for _ in range(3))
    assert (first.status_code, first.content) == (500, b"")
    assert (second.status_code, second.headers["content-type"]) == (502, "text/html; charset=utf-8")
    assert third.status_code == 200
    assert third.json() == {"success": False, "data": None, "error": "Database error"}


def test_a_raw_body_is_sent_as_it_is(control: Control, engine: httpx.Client) -> None:
    control.script("engine", "/api/paper-trading/*", body='{"success": true, "da', content_type="application/json")
    answer = engine.get("/api/paper-trading/portfolio")
    assert answer.text == '{"success": true, "da'
    assert answer.headers["content-type"] == "application/json"
    assert engine.get(HEALTH).json()["success"] is True


def test_a_behaviour_may_be_limited_to_a_method(control: Control, engine: httpx.Client) -> None:
    control.script("engine", "/api/paper-trading/basic-settings", method="PUT", status=500)
    assert engine.get("/api/paper-trading/basic-settings").status_code == 200
    assert engine.put("/api/paper-trading/basic-settings", json={}).status_code == 500


def test_a_dropped_connection_gives_no_byte(control: Control, engine: httpx.Client) -> None:
    control.script("engine", HEALTH, drop=True, times=1)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending"):
        engine.get(HEALTH)
    assert engine.get(HEALTH).status_code == 200
    assert [request["status"] for request in control.requests("engine")] == [None, 200]


def test_a_truncated_answer_ends_in_the_middle(control: Control, engine: httpx.Client) -> None:
    control.script("engine", HEALTH, truncate=True, times=1)
    with pytest.raises(httpx.RemoteProtocolError, match="peer closed"):
        engine.get(HEALTH)


def test_a_slow_answer_exceeds_the_clients_patience_and_is_the_normal_one(
    control: Control, engine: httpx.Client
) -> None:
    control.script("engine", HEALTH, delay_s=0.3)
    with pytest.raises(httpx.ReadTimeout):
        engine.get(HEALTH, timeout=0.1)
    assert engine.get(HEALTH, timeout=20).json()["data"] == "Bot is running"


def test_a_rate_limit_names_when_to_come_back(control: Control, sandbox: Sandbox) -> None:
    control.script("binance", "/api/v3/time", retry_after=3, times=1, json={"code": -1003, "msg": "Too many requests."})
    limited = httpx.get(sandbox.urls["binance"] + "/api/v3/time")
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "3")
    assert limited.json()["code"] == -1003
    assert httpx.get(sandbox.urls["binance"] + "/api/v3/time").status_code == 200


def test_recorded_requests_can_be_read_back(control: Control, engine: httpx.Client) -> None:
    engine.get("/api/paper-trading/trades/closed", params={"days": 7}, headers={"Authorization": "Bearer x"})
    engine.put("/api/paper-trading/basic-settings", content=b'{"long_only_mode": true}')
    got, put = control.requests("engine")
    assert (got["method"], got["path"], got["query"]) == ("GET", "/api/paper-trading/trades/closed", {"days": "7"})
    assert got["headers"]["authorization"] == "Bearer x"
    assert (put["method"], put["body"], put["status"]) == ("PUT", '{"long_only_mode": true}', 200)
    assert got["time"] <= put["time"]
    assert control.requests("engine", HEALTH) == []


def test_reset_forgets_behaviours_and_requests(control: Control, engine: httpx.Client) -> None:
    control.script("engine", status=500)
    assert engine.get(HEALTH).status_code == 500
    control.reset("engine")
    assert control.requests("engine") == []
    assert engine.get(HEALTH).status_code == 200


@pytest.mark.parametrize(
    ("behaviour", "complaint"),
    [
        ({"stauts": 500}, "unknown behaviour key"),
        ({"times": 0}, "times is 0"),
        ({"delay_s": -1}, "delay_s is -1"),
        ({"status": 99}, "status is 99"),
    ],
)
def test_a_behaviour_that_makes_no_sense_is_refused(
    control: Control, behaviour: dict[str, int], complaint: str
) -> None:
    with pytest.raises(ControlError, match=complaint):
        control.script("engine", **behaviour)


def test_an_unknown_service_is_named(control: Control) -> None:
    with pytest.raises(ControlError, match="no stand-in 'redis'"):
        control.script("redis", status=500)
