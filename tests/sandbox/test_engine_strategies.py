"""Strategies of the stand-in: named on trades only with the specification's endpoints, and forgotten at a restart."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from sandbox.control import Control
from sandbox.launcher import Sandbox

CLOSED = "/api/paper-trading/trades/closed"


@pytest.fixture
def engine(sandbox: Sandbox, control: Control) -> httpx.Client:
    control.reset("engine")
    return httpx.Client(base_url=sandbox.urls["engine"], trust_env=False)


def trades(engine: httpx.Client) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = engine.get(CLOSED).json()["data"]
    return rows


def test_shipped_engine_names_no_strategy(engine: httpx.Client) -> None:
    assert not [row for row in trades(engine) if "strategy" in row]


def test_specified_engine_names_one_for_every_trade_and_keeps_given_ones(
    engine: httpx.Client, control: Control
) -> None:
    control.engine_state(spec_endpoints=True)
    assert {row["strategy"] for row in trades(engine)} == {"rsi", "macd", "bollinger", "volume"}
    control.scenario("none", trades=[{"return_pct": 1.0, "strategy": name} for name in ("RSI Strategy", None)])
    assert [row["strategy"] for row in trades(engine)] == ["RSI Strategy", None]


def test_restart_forgets_disabled_strategies_and_settings_and_keeps_trades(
    engine: httpx.Client, control: Control
) -> None:
    control.engine_state(spec_endpoints=True)
    before = trades(engine)
    engine.post("/api/strategies/rsi/disable").raise_for_status()
    engine.put("/api/paper-trading/basic-settings", json={"long_only_mode": True}).raise_for_status()
    control.restart_engine()
    assert "rsi" in engine.get("/api/strategies/active").json()
    assert control.engine_state()["basic_settings"]["signal"]["long_only_mode"] is False
    assert trades(engine) == before
