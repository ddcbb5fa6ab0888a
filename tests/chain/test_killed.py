"""Processes killed in the middle: a training resumes, a parent that has started its child does not start another."""

from __future__ import annotations

import os
import signal
from typing import Any

import psutil
import pytest

from include.store import collections
from tests.chain.answers import verdict
from tests.chain.conftest import Bundle, eventually

pytestmark = pytest.mark.slow


def running_task(bundle: Bundle, dag_id: str, run_id: str, task_id: str | None = None) -> dict[str, Any] | None:
    for task in bundle.client.task_instances(dag_id, run_id):
        if task["state"] == "running" and task["pid"] and task_id in {None, task["task_id"]}:
            return task
    return None


def kill(task: dict[str, Any]) -> None:
    """SIGKILL the process that runs the task, as the kernel does when memory is short."""
    process = psutil.Process(task["pid"])
    assert "airflow" in " ".join(process.cmdline())
    os.kill(process.pid, signal.SIGKILL)


@pytest.mark.long
def test_tc_async_006_a_killed_training_continues_behind_its_last_finished_epoch(bundle: Bundle) -> None:
    conf = {"model_type": "lstm", "symbol": "LINKUSDT", "epochs": 40, "deploy": False}
    run_id = bundle.start("train_model", conf)

    def epochs_done() -> int:
        progress = bundle.client.state_store("train_model", run_id, "lstm.train", "progress") or {}
        return int(progress.get("current_epoch") or 0)

    eventually(lambda: epochs_done() >= 8)
    task = running_task(bundle, "train_model", run_id, "lstm.train")
    assert task is not None
    kill(task)
    run = bundle.finish("train_model", run_id)
    results = run.xcom("result")["training_results"]
    assert run.state == "success", run.story
    assert run.tries["lstm.train"] == 2
    assert results["resumed_from_epoch"] >= 9
    assert results["epochs_completed"] == 40
    job = bundle.db[collections.TRAINING_JOBS].find_one({"_id": run_id})
    assert job is not None
    assert [epoch["epoch"] for epoch in job["epoch_metrics"]] == list(range(1, 41))
    assert bundle.db[collections.MODELS].count_documents({"task_id": run_id}) == 1


@pytest.mark.long
def test_a_parent_killed_after_it_triggered_its_child_ends_once_and_green(bundle: Bundle) -> None:
    bundle.control.scenario("losing")
    bundle.control.answers(verdict("wait", urgency="low"))
    parent, child = "daily_performance_analysis", "gpt4_self_analysis"
    run_id = bundle.start(parent)
    child_id = f"gpt4__{run_id}"
    eventually(lambda: bundle.exists(child, child_id))
    # The task that has triggered may have ended by now: then the one that confirms is killed.
    task = eventually(lambda: running_task(bundle, parent, run_id))
    kill(task)
    run = bundle.finish(parent, run_id)
    assert run.state == "success", run.story
    assert max(run.tries.values()) >= 2
    assert run.xcom("result")["gpt4_task_id"] == child_id
    assert bundle.finish(child, child_id).state == "success"
    assert [r["dag_run_id"] for r in bundle.client.runs(child) if run_id in r["dag_run_id"]] == [child_id]


def test_an_existing_child_counts_as_triggered(bundle: Bundle) -> None:
    bundle.control.scenario("losing")
    bundle.control.answers(verdict("wait", urgency="low"))
    run_id = bundle.run_id()
    child_id = bundle.start("gpt4_self_analysis", {"triggered_by": run_id}, f"gpt4__{run_id}")
    run = bundle.run("daily_performance_analysis", {}, run_id)
    assert run.state == "success", run.story
    assert run.tasks["trigger_gpt4_self_analysis"] == "skipped"
    assert run.xcom("result")["gpt4_task_id"] == child_id
    assert len([r for r in bundle.client.runs("gpt4_self_analysis") if run_id in r["dag_run_id"]]) == 1
