"""While RabbitMQ or Redis is away, with work waiting: the watchmen do theirs in time and are heard."""

from __future__ import annotations

import time
from datetime import datetime

import pytest

from include.store.collections import HEALTH_STATE, KILL_SWITCH, KILL_SWITCH_HISTORY, OUTBOX, RISK_STATE
from tests.stack.chaos import work
from tests.stack.figures import note
from tests.stack.stack import Run, Stack, eventually
from tests.watch.test_risk_run import losing_trades

WAITING = 20
IN_THE_WAY = 6
"""Of the 8 that the pool lets through; scheduled DAGs may have the others."""
WITHIN_S = 15.0
HEALTH, WATCHDOG, EMERGENCY = "system_health_check", "strategy_watchdog", "emergency_strategy_disable"


def took_s(stack: Stack, run: Run, since: float) -> float:
    """Return the seconds from a moment to the run's end, as Airflow has it."""
    return datetime.fromisoformat(stack.client.run(*run)["end_date"]).timestamp() - since


def slack(stack: Stack) -> str:
    return "\n".join(str(message["payload"]) for message in stack.control.messages("slack"))


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("server", "shown"), [("rabbitmq", "RabbitMQ"), ("redis", "Redis")])
def test_the_watchmen_work_and_what_waits_is_done_after_the_return(
    stack: Stack, full: bool, server: str, shown: str
) -> None:
    if server != "rabbitmq" and not full:
        pytest.skip("only in the full form: the same takes two and a half minutes once more")
    for name in (HEALTH_STATE, KILL_SWITCH, KILL_SWITCH_HISTORY, OUTBOX, RISK_STATE):
        stack.db[name].delete_many({})
    stack.control.reset("sinks")
    stack.control.scenario("none", trades=losing_trades(12, "RSI Strategy"))
    stack.stop(server)
    try:
        # Of several kinds: of one alone, its own limit lets few runs have tasks, and few are in the scheduler's way.
        waiting = [
            *work.backtests(stack, WAITING - 6),
            *work.searches(stack, 3),
            *(work.training(stack, symbol, epochs=2) for symbol in work.SYMBOLS),
        ]
        assert len(waiting) == WAITING

        def in_the_way() -> bool:
            states = [task["state"] for run in waiting for task in stack.client.task_instances(*run)]
            return states.count("queued") >= IN_THE_WAY

        eventually(in_the_way, 120.0, f"{IN_THE_WAY} tasks that cannot be sent")
        since = time.time()
        watchmen = {
            HEALTH: stack.start(HEALTH),
            WATCHDOG: stack.start(WATCHDOG),
            EMERGENCY: stack.start(EMERGENCY, {"strategy_name": "macd", "reason": "Win rate: 12 %"}),
        }
        states = stack.finish_all(watchmen.values(), 120.0)
        for name, run in watchmen.items():
            note(f"{shown} away, {WAITING} runs waiting: {name} (trigger to end)", took_s(stack, run, since), WITHIN_S)
        (late,) = work.backtests(stack, 1)
        assert set(states.values()) == {"success"}
        for word in (shown, "macd disabled", "rsi disabled"):
            eventually(lambda word=word: word in slack(stack), 30.0, f"{word} on Slack")
        assert not {stack.state(run) for run in waiting} & {"success", "failed"}, "nothing could be sent meanwhile"
        slowest = max(took_s(stack, run, since) for run in watchmen.values())
    finally:
        stack.let_start(server)
    counted = work.count(stack, [*waiting, late])
    note(f"{shown} back: {WAITING} runs that waited, and one triggered meanwhile", counted, "0 lost, 0 doubled")
    assert counted.lost == []
    assert counted.doubled == []
    assert slowest <= WITHIN_S
