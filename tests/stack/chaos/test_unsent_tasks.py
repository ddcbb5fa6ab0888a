"""A scheduler dies with tasks that it has marked as queued and could not send: the next one sends them."""

from __future__ import annotations

import time

import pytest

from tests.stack.chaos import work
from tests.stack.figures import note
from tests.stack.stack import Stack, eventually

RUNS = 5
UNSENT = 3
"""Of the runs' first tasks; the DAG's own limit may keep the others from being queued."""


@pytest.mark.timeout(1200)
def test_what_was_never_sent_does_not_wait_for_the_longest_time_out(stack: Stack) -> None:
    stack.stop("rabbitmq")
    try:
        runs = work.backtests(stack, RUNS)

        def queued() -> int:
            return [task["state"] for run in runs for task in stack.client.task_instances(*run)].count("queued")

        eventually(lambda: queued() >= UNSENT, 120.0, f"{UNSENT} tasks that cannot be sent")
        stack.kill_and_hold("scheduler")
    finally:
        stack.let_start("rabbitmq")
        stack.let_start("scheduler")
    began = time.monotonic()
    counted = work.count(stack, runs)
    took_s = time.monotonic() - began
    note(
        f"scheduler killed with at least {UNSENT} tasks unsent",
        f"{counted}; all done after {took_s:.0f} s",
        "0 lost, 0 doubled",
    )
    assert counted.lost == []
    assert counted.doubled == []
    assert counted.tried_again >= UNSENT, "sent anew"
    assert not {run_id for _, run_id in runs} & stuck(stack)


def stuck(stack: Stack) -> set[str]:
    """Return the runs of which a task was only sent anew because `task_queued_timeout` had passed."""
    log = stack.client.request("GET", "/api/v2/eventLogs", params={"event": "stuck in queued reschedule"})
    return {entry["run_id"] for entry in log["event_logs"]}
