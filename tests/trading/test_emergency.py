"""The emergency procedure: the record first, nobody waits for anybody, nothing is called disabled that is not."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from include.trading.emergency import Outcome, RecordState, disable_strategies, result_of
from include.trading.engine_commands import EngineCommands
from tests.trading.engine_answers import envelope
from tests.trading.loopback import LoopbackServer, Reply, as_json

ACTIVE = "/api/strategies/active"


def path(name: str) -> str:
    return f"/api/strategies/{name}/disable"


def done(name: str, cancelled: int = 0) -> Reply:
    return as_json(envelope({"strategy": name, "disabled": True, "pending_signals_cancelled": cancelled}))


def kept(state: RecordState = "stored") -> Callable[[str], tuple[RecordState, str | None]]:
    return lambda _: (state, None if state == "stored" else "MongoDB is away")


@pytest.fixture
def commands(engine: LoopbackServer) -> EngineCommands:
    return EngineCommands(engine.url, timeout_s=5)  # only one answer below never comes; the others may be slow


def test_tc_async_059_result_has_the_specified_keys(engine: LoopbackServer, commands: EngineCommands) -> None:
    engine.routes |= {path("rsi"): done("rsi", 3), ACTIVE: as_json(["macd"])}
    result = result_of("task-1", "Consecutive losses: 12 trades", disable_strategies(["rsi"], commands, kept()))
    assert result["disabled_at"].endswith("Z")
    assert {name: result[name] for name in result if name not in ("disabled_at", "strategies")} == {
        "status": "success", "strategy": "rsi", "strategy_disabled": "rsi",
        "reason": "Consecutive losses: 12 trades", "pending_signals_cancelled": 3, "task_id": "task-1",
    }  # fmt: skip
    assert result["strategies"]["rsi"]["verified"] is True


def test_all_records_are_kept_before_the_first_call(engine: LoopbackServer, commands: EngineCommands) -> None:
    engine.routes |= {path("rsi"): done("rsi"), path("macd"): done("macd"), ACTIVE: as_json([])}
    asked_before: list[int] = []

    def keep(_: str) -> tuple[RecordState, str | None]:
        asked_before.append(len(engine.asked))
        return "stored", None

    disable_strategies(["rsi", "macd"], commands, keep)
    assert asked_before == [0, 0]


@pytest.mark.critical
def test_tc_async_065_one_hanging_strategy_does_not_hold_up_the_others(
    engine: LoopbackServer, commands: EngineCommands
) -> None:
    engine.routes |= {
        path("rsi"): Reply(late=True),
        path("macd"): Reply(404, b"", None),
        path("volume"): done("volume", 4),
        path("bollinger"): Reply(400, b"no", "text/plain"),
        ACTIVE: as_json(["rsi", "macd", "bollinger"]),
    }
    names = ["rsi", "macd", "volume", "bollinger"]
    outcomes = disable_strategies(names, commands, kept())
    assert [outcome.strategy for outcome in outcomes] == names
    assert [outcome.engine for outcome in outcomes] == ["unavailable", "not_supported", "disabled", "refused"]
    assert [outcome.settled for outcome in outcomes] == [False, True, True, True]
    result = result_of("t", "r", outcomes)
    assert (result["status"], result["strategy_disabled"], result["disabled_at"]) == ("partial", ["volume"], None)


def test_strategies_are_told_at_the_same_time(engine: LoopbackServer, commands: EngineCommands) -> None:
    both = threading.Barrier(2, timeout=5)
    waiting = [commands.disable_strategy]

    class Meeting(EngineCommands):
        def disable_strategy(self, name: str) -> int:
            both.wait()
            return waiting[0](name)

    engine.routes |= {path("rsi"): done("rsi"), path("macd"): done("macd"), ACTIVE: as_json([])}
    outcomes = disable_strategies(["rsi", "macd"], Meeting(engine.url, 5), kept())
    assert all(outcome.disabled for outcome in outcomes)


def test_accepted_but_still_active_is_not_disabled(engine: LoopbackServer, commands: EngineCommands) -> None:
    engine.routes |= {path("rsi"): done("rsi", 3), ACTIVE: as_json(["RSI Strategy"])}
    (outcome,) = disable_strategies(["rsi"], commands, kept())
    assert (outcome.engine, outcome.disabled_at, outcome.verified) == ("still_active", None, False)
    assert not outcome.settled
    assert result_of("t", "r", [outcome])["strategy_disabled"] is False


@pytest.mark.parametrize("reply", [Reply(500, b"", None), Reply(200, b"<html>", "text/html"), Reply(drop=True)])
def test_accepted_but_not_readable_back_is_tried_again(
    engine: LoopbackServer, commands: EngineCommands, reply: Reply
) -> None:
    engine.routes |= {path("rsi"): done("rsi", 3), ACTIVE: reply}
    (outcome,) = disable_strategies(["rsi"], commands, kept())
    assert (outcome.engine, outcome.settled) == ("unavailable", False)
    engine.routes |= {path("rsi"): done("rsi", 0), ACTIVE: as_json([])}
    (again,) = disable_strategies(["rsi"], commands, kept())
    assert again.after(outcome).pending_signals_cancelled == 3, "what the first try cancelled counts"


def test_engine_without_a_list_is_believed_and_the_result_says_that_it_is_not_verified(
    engine: LoopbackServer, commands: EngineCommands
) -> None:
    engine.routes |= {path("rsi"): done("rsi")}
    (outcome,) = disable_strategies(["rsi"], commands, kept())
    assert (outcome.engine, outcome.verified) == ("disabled", None)


@pytest.mark.parametrize(("state", "settled"), [("already", True), ("spooled", True), ("not_kept", False)])
def test_engine_is_told_whatever_became_of_the_record(
    engine: LoopbackServer, commands: EngineCommands, state: RecordState, settled: bool
) -> None:
    engine.routes |= {path("rsi"): done("rsi"), ACTIVE: as_json([])}
    (outcome,) = disable_strategies(["rsi"], commands, kept(state))
    assert (outcome.engine, outcome.record, outcome.settled) == ("disabled", state, settled)


def test_outcome_survives_the_task_state_store(engine: LoopbackServer, commands: EngineCommands) -> None:
    engine.routes |= {path("rsi"): done("rsi", 2), ACTIVE: as_json([])}
    (outcome,) = disable_strategies(["rsi"], commands, kept())
    back = Outcome.from_dict(outcome.to_dict())
    assert back.to_dict() == outcome.to_dict()
    assert back.disabled
