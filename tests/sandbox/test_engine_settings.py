"""Settings over HTTP: what the engine applies, ignores and refuses."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import httpx
import pytest

from sandbox.control import Control

PAPER = "/api/paper-trading"


def get(engine: httpx.Client, name: str) -> dict[str, Any]:
    data: dict[str, Any] = engine.get(f"{PAPER}/{name}").json()["data"]
    return data


def test_strategy_settings_have_the_documented_blocks(control: Control, engine: httpx.Client) -> None:
    data = get(engine, "strategy-settings")
    assert list(data) == ["strategies", "risk", "engine", "market_preset"]
    assert list(data["strategies"]) == ["rsi", "macd", "volume", "bollinger", "stochastic"]


def test_disabling_a_strategy_is_accepted_and_does_nothing(control: Control, engine: httpx.Client) -> None:
    settings = get(engine, "strategy-settings")
    settings["strategies"]["rsi"]["enabled"] = False
    settings["engine"]["enabled_strategies"] = ["MACD Strategy"]
    settings["engine"]["min_confidence_threshold"] = 1.0
    answer = engine.put(f"{PAPER}/strategy-settings", json={"settings": settings})
    assert answer.status_code == 200
    after = get(engine, "strategy-settings")
    assert after["strategies"]["rsi"]["enabled"] is True
    assert len(after["engine"]["enabled_strategies"]) == 5
    assert after["engine"]["min_confidence_threshold"] == 1.0


def test_a_threshold_out_of_range_is_500(control: Control, engine: httpx.Client) -> None:
    settings = get(engine, "strategy-settings")
    settings["engine"]["min_confidence_threshold"] = 1.5
    answer = engine.put(f"{PAPER}/strategy-settings", json={"settings": settings})
    assert answer.status_code == 500
    assert answer.json()["success"] is False


def test_a_missing_field_is_400_in_plain_text(control: Control, engine: httpx.Client) -> None:
    settings = get(engine, "strategy-settings")
    del settings["risk"]["max_drawdown"]
    for body in ({"settings": settings}, {}, []):
        answer = engine.put(f"{PAPER}/strategy-settings", json=body)
        assert answer.status_code == 400
        assert answer.text.startswith("Request body deserialize error: ")
        assert answer.headers["content-type"].startswith("text/plain")
    del settings["risk"]


def test_optional_fields_of_strategy_settings_may_be_left_out(control: Control, engine: httpx.Client) -> None:
    settings = get(engine, "strategy-settings")
    del settings["market_preset"], settings["engine"]["data_resolution"]
    assert engine.put(f"{PAPER}/strategy-settings", json={"settings": settings}).status_code == 200


def test_a_flat_indicator_body_is_200_and_changes_nothing(control: Control, engine: httpx.Client) -> None:
    before = get(engine, "indicator-settings")
    assert [len(block) for block in before.values()] == [10, 5, 20]
    assert engine.put(f"{PAPER}/indicator-settings", json={"rsi_period": 20}).status_code == 200
    assert get(engine, "indicator-settings") == before


def test_whole_indicator_blocks_are_applied_and_checked(control: Control, engine: httpx.Client) -> None:
    blocks = get(engine, "indicator-settings")
    changed = deepcopy(blocks["indicators"]) | {"rsi_period": 20}
    assert engine.put(f"{PAPER}/indicator-settings", json={"indicators": changed}).status_code == 200
    assert get(engine, "indicator-settings")["indicators"]["rsi_period"] == 20
    refused = engine.put(f"{PAPER}/indicator-settings", json={"indicators": changed | {"rsi_period": 60}})
    assert refused.status_code == 400
    assert list(refused.json()) == ["success", "data", "error", "timestamp"]
    partial = engine.put(f"{PAPER}/indicator-settings", json={"indicators": {"rsi_period": 20}})
    assert (partial.status_code, partial.headers["content-type"][:10]) == (400, "text/plain")


def test_the_blunt_lever_is_stored(control: Control, engine: httpx.Client) -> None:
    body = {"short_only_mode": True, "long_only_mode": True, "no_such_key": 1}
    assert engine.put(f"{PAPER}/basic-settings", json=body).status_code == 200
    signal = get(engine, "basic-settings")["signal"]
    assert signal["short_only_mode"] is True
    assert signal["long_only_mode"] is True


@pytest.mark.parametrize("how", ["reset", "initial_balance"])
def test_a_reset_empties_the_trades(control: Control, engine: httpx.Client, how: str) -> None:
    assert engine.get(f"{PAPER}/trades/closed").json()["data"]
    if how == "reset":
        engine.post(f"{PAPER}/reset")
    else:
        engine.put(f"{PAPER}/basic-settings", json={"initial_balance": 5000.0})
    assert engine.get(f"{PAPER}/trades/closed").json()["data"] == []
    assert get(engine, "portfolio")["total_trades"] == 0


def test_start_stop_and_symbols(control: Control, engine: httpx.Client) -> None:
    engine.post(f"{PAPER}/stop")
    assert get(engine, "status")["is_running"] is False
    engine.post(f"{PAPER}/start")
    assert get(engine, "status")["is_running"] is True
    engine.put(f"{PAPER}/symbols", json={"symbols": {"BTCUSDT": {"enabled": False}}})
    assert control.engine_state()["symbol_settings"] == {"BTCUSDT": {"enabled": False}}
    assert engine.put(f"{PAPER}/symbols", json={}).status_code == 400
