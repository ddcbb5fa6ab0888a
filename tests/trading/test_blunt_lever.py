"""The two levers on the stand-in for the shipped engine, and on engines that do not keep what they accept."""

from __future__ import annotations

import json

import pytest

from include.errors import MalformedAnswerError, ServiceUnavailableError
from include.trading.blunt_lever import Lever, holds, put, setting, stopped
from include.trading.engine_commands import CommandRefusedError, EngineCommands
from sandbox.control import Control
from sandbox.engine.defaults import STRATEGY_SETTINGS
from sandbox.launcher import Sandbox
from tests.trading.engine_answers import envelope
from tests.trading.loopback import LoopbackServer, as_json

FORMER: dict[Lever, dict[str, object]] = {
    "both_directions": {"long_only_mode": False, "short_only_mode": False},
    "min_confidence": {"min_confidence_threshold": 0.7},
}


@pytest.fixture
def commands(sandbox: Sandbox, control: Control) -> EngineCommands:
    return EngineCommands(sandbox.urls["engine"], timeout_s=5)


@pytest.mark.parametrize("lever", FORMER)
def test_pulled_read_back_and_undone_with_everything_else_untouched(
    commands: EngineCommands, control: Control, lever: Lever
) -> None:
    before = control.engine_state()
    former = setting(commands, lever)
    assert former == FORMER[lever]
    put(commands, lever, stopped(lever))
    assert holds(commands, lever)
    control.restart_engine()
    assert not holds(commands, lever), "a restart of the engine undoes it"
    put(commands, lever, stopped(lever))
    put(commands, lever, former)
    assert not holds(commands, lever)
    after = control.engine_state()
    assert {name: after[name] for name in after if name != "pending_signals"} == {
        name: before[name] for name in before if name != "pending_signals"
    }
    assert not [asked for asked in control.requests("engine") if asked["path"].endswith("/stop")]


def test_whole_object_is_written_back(commands: EngineCommands, control: Control) -> None:
    put(commands, "min_confidence", stopped("min_confidence"))
    (written,) = [asked for asked in control.requests("engine") if asked["method"] == "PUT"]
    sent = json.loads(written["body"])["settings"]
    assert sent["engine"].pop("min_confidence_threshold") == 1.0
    expected = json.loads(json.dumps(STRATEGY_SETTINGS))
    expected["engine"].pop("min_confidence_threshold")
    assert sent == expected


def test_change_that_did_not_take_effect_is_no_success(commands: EngineCommands, control: Control) -> None:
    ignored = {"success": True, "data": {"message": "ok"}, "error": None}
    control.script("engine", "/api/paper-trading/basic-settings", method="PUT", json=ignored)
    with pytest.raises(ServiceUnavailableError, match="did not take effect"):
        put(commands, "both_directions", stopped("both_directions"))


def test_refused_change_is_refused(commands: EngineCommands, control: Control) -> None:
    control.script("engine", "/api/paper-trading/basic-settings", method="PUT", status=400, body="Request body")
    with pytest.raises(CommandRefusedError):
        put(commands, "both_directions", stopped("both_directions"))


@pytest.mark.parametrize("lever", FORMER)
def test_engine_without_the_setting_is_named(engine: LoopbackServer, lever: Lever) -> None:
    for name in ("basic-settings", "strategy-settings"):
        engine.routes[f"/api/paper-trading/{name}"] = as_json(envelope({"basic": {"enabled": True}, "engine": {}}))
    with pytest.raises(MalformedAnswerError, match=r"short_only_mode|min_confidence_threshold"):
        setting(EngineCommands(engine.url, 5), lever)
