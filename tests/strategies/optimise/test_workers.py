"""The processes that evaluate: as good as one, and never alive alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import billiard
import psutil
import pytest

from include.errors import TransientError
from include.market.timeframes import DAY_MS
from include.strategies.costs import TradingCosts
from include.strategies.optimise.evaluator import Evaluator, Terms
from include.strategies.optimise.space import SearchSpace
from include.strategies.optimise.variation import Segment
from include.strategies.optimise.workers import Workers
from include.strategies.registry import get_strategy
from tests.conftest import REPOSITORY
from tests.strategies.optimise.prices import START_MS, martingale

DEADLINE_S = 60
SPACE = SearchSpace.of(get_strategy("rsi"))
SEGMENT = Segment("train", START_MS, START_MS + 20 * DAY_MS)
JOBS = [(SPACE.key(point), SPACE.params(point)) for point in SPACE.points[:12]]


def evaluator() -> Evaluator:
    """Return one on a short series."""
    return Evaluator(Terms("rsi", TradingCosts(), 10_000.0, "both"), martingale(1, 20))


def test_children_find_the_same_as_this_process_each_variation_once() -> None:
    with Workers(evaluator(), 1) as alone, Workers(evaluator(), 2) as children:
        expected = [variation.to_stored() for batch in alone.evaluate(SEGMENT, JOBS) for variation in batch]
        found = [variation.to_stored() for batch in children.evaluate(SEGMENT, JOBS) for variation in batch]
    assert sorted(found, key=lambda stored: stored["key"]) == sorted(expected, key=lambda stored: stored["key"])


def test_a_killed_child_is_a_fault_that_another_try_may_mend() -> None:
    with Workers(evaluator(), 2) as workers:
        list(workers.evaluate(SEGMENT, JOBS))
        os.kill(workers.process_ids[0], signal.SIGKILL)
        with pytest.raises(TransientError, match=r"was killed \(out of memory\?\)"):
            list(workers.evaluate(SEGMENT, JOBS * 100))


def test_no_child_outlives_a_parent_that_was_killed_without_warning() -> None:
    command = [sys.executable, "-m", "tests.strategies.optimise.workers_script"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        children = [psutil.Process(pid) for pid in json.loads(parent.stdout.readline())]
        assert len(children) == 2
        assert all(child.is_running() for child in children)
        parent.kill()
    deadline = time.monotonic() + DEADLINE_S
    while any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.05)


@pytest.mark.parametrize("fails", [False, True])
def test_leaving_ends_the_children_also_in_the_middle_of_their_work(fails: bool) -> None:
    with suppress(ZeroDivisionError), Workers(evaluator(), 2) as workers:
        list(workers.evaluate(SEGMENT, JOBS))
        children = [psutil.Process(pid) for pid in workers.process_ids]
        if fails:
            next(workers.evaluate(SEGMENT, JOBS * 100))
            raise ZeroDivisionError
    assert not any(child.is_running() for child in children)


def test_a_celery_worker_s_process_may_have_children_too() -> None:
    """Celery starts its processes as daemons, which may have no children."""
    context = billiard.get_context("fork")
    found = context.SimpleQueue()

    def optimise() -> None:
        with Workers(evaluator(), 2) as workers:
            found.put(sum(len(batch) for batch in workers.evaluate(SEGMENT, JOBS)))

    worker = context.Process(target=optimise, daemon=True)
    worker.start()
    worker.join(DEADLINE_S)
    assert worker.exitcode == 0
    assert found.get() == len(JOBS)
