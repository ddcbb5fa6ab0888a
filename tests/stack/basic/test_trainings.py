"""Five trainings at once on two slots: two compute, three wait in Airflow and none in the broker, all five end well."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import pytest
from kombu import Connection
from kombu.transport.pyamqp import Channel

from include.store.collections import MODELS
from ops.client import FINISHED_RUN_STATES
from ops.stack.twin import ENDS_BY_ITSELF
from tests.stack.figures import note
from tests.stack.stack import Run, Stack

pytestmark = pytest.mark.timeout(1800)

SLOTS = 2
EVERY_S = 1.0
QUEUE = "ml_training"
READY_AT_MOST_S = 10.0
"""A slot is free in Airflow as soon as the task has said how it ended; its message is acknowledged when its process is
gone, some seconds later. So long the next one waits in the broker."""
MAKESPAN_SHARE = 0.65
"""Of the sum of the trainings. Two at a time cannot be below 0.5; one after the other would be above 1."""


@dataclass(frozen=True)
class Training:
    """One of the five; no network is asked for more than twice, since two of a kind is a limit of its own."""

    model_type: str
    symbol: str
    epochs: int

    @property
    def task_id(self) -> str:
        return f"{self.model_type}.train"


FULL = (
    # Two slots are busy to the end only in this order: 3 + 3 units in one, 2 + 2 + 2 in the other.
    Training("lstm", "BTCUSDT", 240),
    Training("gru", "ETHUSDT", 160),
    Training("transformer", "SOLUSDT", 160),
    Training("lstm", "ADAUSDT", 240),
    Training("gru", "XRPUSDT", 160),
)
QUICK = tuple(Training(training.model_type, training.symbol, training.epochs // 16) for training in FULL)


@dataclass(frozen=True)
class Sample:
    """One look at the five training tasks and the queue: a state for each (None: not begun), messages nobody has."""

    at: float
    states: tuple[str | None, ...]
    ready: int


def look(stack: Stack, runs: dict[Run, Training], broker: Channel) -> Sample:
    """Ask for all five tasks in one request, so that one that ends and one that begins are not counted together.

    The broker is asked for the queue itself: the figures of its management pages are up to 5 s old.
    """
    at = time.monotonic()
    body = {"dag_ids": ["train_model"], "dag_run_ids": [run_id for _, run_id in runs], "page_limit": 500}
    path = "/api/v2/dags/~/dagRuns/~/taskInstances/list"
    instances = stack.client.request("POST", path, json=body)["task_instances"]
    states = {(task["dag_run_id"], task["task_id"]): task["state"] for task in instances}
    return Sample(
        at,
        tuple(states[run_id, training.task_id] for (_, run_id), training in runs.items()),
        int(broker.queue_declare(QUEUE, passive=True).message_count),
    )


def watch(stack: Stack, runs: dict[Run, Training], timeout_s: float) -> list[Sample]:
    """Look every second until all runs have ended."""
    samples: list[Sample] = []
    deadline = time.monotonic() + timeout_s
    url = stack.twin.said(ENDS_BY_ITSELF)["AIRFLOW__CELERY__BROKER_URL"]
    with Connection(url, connect_timeout=30.0) as connection, connection.channel() as broker:
        while not all(stack.state(run) in FINISHED_RUN_STATES for run in runs):
            assert time.monotonic() < deadline, f"not over after {timeout_s} s: {samples[-1]}"
            samples.append(look(stack, runs, broker))
            time.sleep(max(0.0, samples[-1].at + EVERY_S - time.monotonic()))
    return samples


def longest_s(samples: Iterable[tuple[float, bool]]) -> float:
    """Return how long something was seen without a break, from the first of these looks to the one after the last."""
    longest, begin = 0.0, None
    for at, seen in samples:
        if begin is not None:
            longest = max(longest, at - begin)
        if not seen:
            begin = None
        elif begin is None:
            begin = at
    return longest


def ended_at(stack: Stack, run: Run) -> float:
    return datetime.fromisoformat(stack.client.run(*run)["end_date"]).timestamp()


def test_two_train_and_three_wait_in_airflow(stack: Stack, full: bool) -> None:
    trainings = FULL if full else QUICK
    began = time.time()
    runs = {
        stack.start(
            "train_model",
            {"model_type": one.model_type, "symbol": one.symbol, "epochs": one.epochs, "deploy": False},
        ): one
        for one in trainings
    }
    samples = watch(stack, runs, 1200.0)
    for run in runs:
        view = stack.view(run)
        assert view.state == "success", view.story
        assert stack.db[MODELS].count_documents({"task_id": run[1]}) == 1
    busy = [sum(state == "running" for state in sample.states) for sample in samples]
    taken = [sum(state in ("running", "queued") for state in sample.states) for sample in samples]
    waiting = [sum(state == "scheduled" for state in sample.states) for sample in samples]
    queued_s = [
        longest_s((sample.at, sample.states[number] == "queued") for sample in samples) for number in range(len(runs))
    ]
    ready_s = longest_s((sample.at, sample.ready > 0) for sample in samples)
    durations = [float(stack.tasks(run)[training.task_id]["duration"]) for run, training in runs.items()]
    makespan_s = max(ended_at(stack, run) for run in runs) - began
    share = makespan_s / sum(durations)
    load = f"load {os.getloadavg()[1]:.1f}"
    note(f"five trainings ({len(samples)} looks): most running at once", max(busy), SLOTS)
    note("five trainings: most waiting in Airflow (scheduled) at once", max(waiting))
    note("five trainings: longest `queued`, on the way to the worker (s)", max(queued_s))
    note("five trainings: most messages ready in ml_training", max(sample.ready for sample in samples))
    note("five trainings: longest that a message was ready (s)", ready_s, READY_AT_MOST_S)
    note("five trainings: each (s)", " ".join(f"{duration:.0f}" for duration in durations), load)
    note("five trainings: first trigger to last end (s)", makespan_s, load)
    note(
        "five trainings: that, of the sum of the five",
        share,
        MAKESPAN_SHARE if full else "none: too short in this form",
    )
    assert max(busy) == SLOTS
    assert max(taken) == SLOTS, "what waits holds no slot and is not on its way to a worker"
    assert max(waiting) >= 1, "nothing had to wait: the trainings were too short for this machine"
    assert ready_s <= READY_AT_MOST_S
    if full:
        assert share <= MAKESPAN_SHARE
