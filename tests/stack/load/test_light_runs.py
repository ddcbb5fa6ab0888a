"""Light runs: `predict_price` answered from its cache, beside a DAG whose one task does nothing."""

from __future__ import annotations

import os
import statistics
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from include.store.collections import PRICE_PREDICTIONS
from tests.stack.figures import note
from tests.stack.load.champion import deploy_champion
from tests.stack.load.measuring import Burst, await_ended, burst, percentile, times
from tests.stack.stack import Stack, eventually

PREDICT, EMPTY = "predict_price", "empty_task"
SYMBOL = "LINKUSDT"
CONF: dict[str, dict[str, Any]] = {PREDICT: {"symbol": SYMBOL, "model_type": "lstm"}, EMPTY: {}}
WORKER = "worker-analysis"
WARM_UP = 16
"""Runs of each DAG that are not counted: the worker has as many processes afterwards as it may have."""
IN_TURN = (EMPTY, PREDICT, PREDICT, EMPTY)
"""The order of the blocks, so that both DAGs meet the same machine."""
TASKS_PER_S_RATIO, LATENCY_RATIO = 0.9, 1.2
AT_REST, AT_REST_LIMIT_S = 20, 2.0
WORKER_START_LIMIT_S = 10.0


@pytest.fixture(scope="module")
def cached(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """The stack with a champion whose answer is cached."""
    folder: Path = tmp_path_factory.mktemp("models")
    deploy_champion(stack, SYMBOL, folder)
    first = stack.run(PREDICT, CONF[PREDICT])
    assert first.state == "success", first.story
    second = stack.run(PREDICT, CONF[PREDICT])
    assert second.xcom("predict")["cached"] is True
    for dag_id, conf in CONF.items():
        burst(stack, dag_id, conf, WARM_UP, timeout_s=300.0)
    return stack


def load() -> str:
    return f"load {os.getloadavg()[0]:.1f}"


def test_the_two_dags_are_queued_ordered_and_tried_again_alike(cached: Stack) -> None:
    alike = ("queue", "pool", "priority_weight", "max_tries", "executor")
    runs = [cached.start(dag_id, conf) for dag_id, conf in CONF.items()]
    cached.finish_all(runs, 120.0)
    (predict,), (empty,) = (cached.tasks(run).values() for run in runs)
    assert {name: empty[name] for name in alike} == {name: predict[name] for name in alike}


@pytest.mark.timeout(5400)
@pytest.mark.parametrize("runs", [100, 1000])
def test_a_light_task_costs_little_more_than_an_empty_one(cached: Stack, full: bool, runs: int) -> None:
    if runs > 100 and not full:
        pytest.skip("only in the full form: it takes ten minutes")
    measured = {PREDICT: Burst(), EMPTY: Burst()}
    blocks = IN_TURN if runs == 100 else IN_TURN * 2
    for dag_id in blocks:
        count = runs * 2 // len(blocks)
        measured[dag_id].blocks.append(burst(cached, dag_id, CONF[dag_id], count, timeout_s=1200.0))
    predict, empty = measured[PREDICT], measured[EMPTY]
    for dag_id, one in measured.items():
        done = sum(task.run_state == task.state == "success" for task in one.tasks)
        note(f"{runs} runs of {dag_id}: done", f"{done} ({load()})", runs)
        note(f"{runs} runs of {dag_id}: tasks per second", one.tasks_per_s)
        note(f"{runs} runs of {dag_id}: queue latency, median, s", one.latency_s)
        note(f"{runs} runs of {dag_id}: queue latency, 95 %, s", percentile(one.latencies_s, 95))
    faster, later = predict.tasks_per_s / empty.tasks_per_s, predict.latency_s / empty.latency_s
    note(f"{runs} light runs: tasks per second, of an empty task's", faster, f">= {TASKS_PER_S_RATIO}")
    note(f"{runs} light runs: queue latency, of an empty task's", later, f"<= {LATENCY_RATIO}")
    for one in measured.values():
        assert len(one.tasks) == runs
        assert {(task.run_state, task.state, task.try_number) for task in one.tasks} == {("success", "success", 1)}
    ids = [task.run_id for task in predict.tasks]
    assert cached.db[PRICE_PREDICTIONS].count_documents({"_id": {"$in": ids}, "cached": True}) == runs
    if full:
        assert faster >= TASKS_PER_S_RATIO
        assert later <= LATENCY_RATIO


@pytest.mark.timeout(600)
def test_at_rest_a_task_starts_soon_after_its_trigger(cached: Stack, full: bool) -> None:
    seconds = []
    for _ in range(AT_REST):
        since = time.time()
        run = cached.start(PREDICT, CONF[PREDICT])
        await_ended(cached, [run], 60.0)
        (task,) = times(cached, [run])
        assert task.state == "success"
        seconds.append(task.started - since)
    median = statistics.median(seconds)
    note(f"at rest: trigger to task start, median of {AT_REST}, s ({load()})", median, AT_REST_LIMIT_S)
    note("at rest: trigger to task start, longest, s", max(seconds))
    if full:
        assert median < AT_REST_LIMIT_S


@pytest.mark.timeout(600)
def test_a_worker_that_has_just_started_takes_its_first_task(cached: Stack, full: bool) -> None:
    cached.stop(WORKER)
    try:
        run = cached.start(PREDICT, CONF[PREDICT])
        eventually(lambda: cached.tasks(run)["predict"]["state"] == "queued", 60.0, "the task in the broker")
    finally:
        cached.let_start(WORKER)
    pid = cached.pid(WORKER)
    assert pid is not None
    born = psutil.Process(pid).create_time()
    finished = cached.finish(run, 120.0)
    assert finished.state == "success", finished.story
    started = datetime.fromisoformat(cached.tasks(run)["predict"]["start_date"]).timestamp()
    note(f"worker's start to its first task, s ({load()})", started - born, WORKER_START_LIMIT_S)
    if full:
        assert started - born < WORKER_START_LIMIT_S
