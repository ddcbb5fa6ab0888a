"""A scheduler dies, and tasks are marked as queued, sent or not: the next one sees to it that each is done once."""

from __future__ import annotations

import time

import pytest
from kombu import Connection

from ops.stack.twin import ENDS_BY_ITSELF
from tests.stack.chaos import work
from tests.stack.figures import note
from tests.stack.stack import Run, Stack, eventually

pytestmark = pytest.mark.timeout(1200)

RUNS = 5
FEW = 3
"""Of the runs' tasks; the DAG's own limit may keep the others from being queued."""
QUEUE, WORKER = "backtesting", "worker-backtest"


def tries_of_queued(stack: Stack, runs: list[Run]) -> list[int]:
    """Return the try number of each task that is queued."""
    tasks = [task for run in runs for task in stack.client.task_instances(*run)]
    return [task["try_number"] for task in tasks if task["state"] == "queued"]


def messages(stack: Stack) -> int:
    """Return how many messages lie in the queue of the runs."""
    url = stack.twin.said(ENDS_BY_ITSELF)["AIRFLOW__CELERY__BROKER_URL"]
    with Connection(url, connect_timeout=30.0) as connection, connection.channel() as channel:
        return int(channel.queue_declare(QUEUE, passive=True).message_count)


def stuck(stack: Stack) -> set[str]:
    """Return the runs of which a task was only sent anew because `task_queued_timeout` had passed."""
    log = stack.client.request("GET", "/api/v2/eventLogs", params={"event": "stuck in queued reschedule"})
    return {entry["run_id"] for entry in log["event_logs"]}


def check(stack: Stack, runs: list[Run], what: str) -> None:
    """Wait for the runs; each is done, once, and none had to wait for the longest time-out."""
    began = time.monotonic()
    counted = work.count(stack, runs)
    took_s = time.monotonic() - began
    note(f"scheduler killed, {FEW} tasks or more {what}", f"{counted}; done after {took_s:.0f} s", "0 lost, 0 doubled")
    assert counted.lost == []
    assert counted.doubled == []
    assert counted.tried_again >= FEW, "sent anew"
    assert not {run_id for _, run_id in runs} & stuck(stack)


def test_what_was_never_sent_does_not_wait_for_the_longest_time_out(stack: Stack) -> None:
    stack.stop("rabbitmq")
    try:
        runs = work.backtests(stack, RUNS)
        eventually(lambda: len(tries_of_queued(stack, runs)) >= FEW, 120.0, f"{FEW} tasks that cannot be sent")
        stack.kill_and_hold("scheduler")
    finally:
        stack.let_start("rabbitmq")
        stack.let_start("scheduler")
    check(stack, runs, "unsent")


def test_what_was_sent_after_all_is_done_once(stack: Stack, full: bool) -> None:
    """The next scheduler cannot ask the broker, which is away with the messages; the workers get both, old and new."""
    if not full:
        pytest.skip("only in the full form: it is rarer than its parts, which have tests of their own")
    stack.stop(WORKER)
    try:
        runs = work.backtests(stack, RUNS)
        eventually(lambda: messages(stack) >= FEW, 120.0, f"{FEW} tasks in the broker")
        stack.stop("rabbitmq")
        stack.kill_and_hold("scheduler")
        stack.let_start("scheduler")
        eventually(lambda: tries_of_queued(stack, runs).count(2) >= FEW, 180.0, f"{FEW} tasks to be sent anew")
    finally:
        for component in ("rabbitmq", "scheduler", WORKER):
            stack.let_start(component)
    check(stack, runs, "sent, the broker away")
