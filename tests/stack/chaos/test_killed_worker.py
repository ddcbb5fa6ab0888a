"""A worker is lost with all its children in the middle of a training: another one goes on from the last checkpoint."""

from __future__ import annotations

import statistics
import time
from datetime import datetime

import pytest

from include.store import collections
from tests.stack.chaos import work
from tests.stack.figures import note
from tests.stack.stack import Stack, eventually

EPOCHS = 60
KILLED_AFTER = 5
BACK_WITHIN_S = 60.0


@pytest.mark.timeout(3600)
def test_a_training_goes_on_elsewhere_within_a_minute(stack: Stack, full: bool) -> None:
    seconds = []
    repetitions = 10 if full else 1
    for number in range(repetitions):
        run = work.training(stack, work.SYMBOLS[number % len(work.SYMBOLS)], EPOCHS)
        work.await_epochs(stack, run, KILLED_AFTER)
        lost = work.component_of(stack, run)
        killed_at, done = time.time(), work.epochs_done(stack, run)
        stack.kill_and_hold(lost)

        def again() -> bool:
            task = stack.tasks(run)[work.TASK]  # noqa: B023
            return task["try_number"] == 2 and task["state"] == "running"

        eventually(again, 120.0, f"{run} on the air again")
        started = stack.tasks(run)[work.TASK]["start_date"]
        seconds.append(datetime.fromisoformat(started).timestamp() - killed_at)
        note(f"worker lost, repetition {number + 1}: running again after", seconds[-1], f"{BACK_WITHIN_S} s")
        elsewhere = eventually(lambda: work.epochs_done(stack, run) > done and work.component_of(stack, run))  # noqa: B023
        assert elsewhere != lost
        stack.let_start(lost)
        counted = work.count(stack, [run])
        assert counted.lost == []
        assert counted.doubled == []
        results = stack.view(run).xcom("result")["training_results"]
        assert results["resumed_from_epoch"] > done - 1, "from the last checkpoint, not from the beginning"
        assert results["epochs_completed"] == EPOCHS
        assert stack.db[collections.MODELS].count_documents({"task_id": run[1]}) == 1
    note("worker lost: recoveries", f"{len(seconds)} of {repetitions}")
    note("worker lost: running again after, median", statistics.median(seconds))
    assert max(seconds) <= BACK_WITHIN_S
