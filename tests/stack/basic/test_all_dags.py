"""All twelve DAGs of the specification on the stack, through every door: results, queues, pools and workers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator

from include.store import collections
from include.tasks_api.run_ids import child_run_id
from ops import compose
from ops.run_dir import REPOSITORY
from ops.stack.addresses import FLOWER, HOST
from tests.chain.answers import verdict
from tests.chain.strategy_lab import FIRST
from tests.stack.basic import browser
from tests.stack.figures import note
from tests.stack.stack import Run, Stack, eventually

pytestmark = pytest.mark.timeout(1200)

RUN_TIMEOUT_S = 600.0
CLI_TIMEOUT_S = 180
SYMBOL = "ETHUSDT"
"""Trained by the first run, so that the forecasts have a champion; the chain retrains another one."""
EPOCHS = 2
ASKS_A_CHAMPION = ("bulk_analysis", "predict_price")


@dataclass(frozen=True)
class Kind:
    """What the specification says of a DAG, and how it is started here.

    :ivar door: as Airflow has it in `triggered_by`; a run that another one starts comes through `operator`.
    :ivar work: the task that does the work, with the queue and the pool that it has to be on.
    :ivar collection: where its result is; `{}` in `result_id` stands for the run's id, `result` is what it has to say.
    """

    door: str
    work: str
    queue: str
    collection: str
    pool: str = "default_pool"
    conf: Mapping[str, Any] = field(default_factory=dict)
    result_id: str = "{}"
    result: Mapping[str, Any] = field(default_factory=dict)


PERIOD = {"symbol": "BTCUSDT", "timeframe": "1h"}
KINDS = {
    "train_model": Kind(
        "ui",
        "gru.train",
        "ml_training",
        collections.TRAINING_JOBS,
        "cpu_training",
        result={"status": "completed", "symbol": SYMBOL, "model_type": "gru"},
    ),
    "bulk_analysis": Kind(
        "rest_api",
        "analyse",
        "bulk_analysis",
        collections.BULK_ANALYSES,
        conf={"symbols": [SYMBOL], "min_confidence": 0.5},
        result={"symbols_analyzed": 1, "failed_symbols": []},
    ),
    "predict_price": Kind(
        "cli",
        "predict",
        "bulk_analysis",
        collections.PRICE_PREDICTIONS,
        conf={"symbol": SYMBOL, "horizon_hours": 6},
        result={"symbol": SYMBOL, "horizon_hours": 6},
    ),
    "system_health_check": Kind(
        "rest_api",
        "check",
        "critical",
        collections.HEALTH_REPORTS,
        "critical",
        result={"status": "success"},
    ),
    "daily_portfolio_report": Kind(
        "rest_api",
        "measure",
        "scheduled",
        collections.PORTFOLIO_REPORTS,
        result={"status": "complete"},
    ),
    "daily_api_cost_report": Kind(
        "rest_api",
        "measure",
        "scheduled",
        collections.API_COST_HISTORY,
        result={"kind": "report"},
    ),
    "daily_performance_analysis": Kind(
        "cli",
        "measure",
        "scheduled",
        collections.PERFORMANCE_METRICS,
        result={"overall": "CRITICAL", "gpt4_analysis_triggered": True},
    ),
    "gpt4_self_analysis": Kind(
        "operator",
        "ask_gpt4",
        "scheduled",
        collections.GPT4_ANALYSIS_HISTORY,
        result={"judge": "gpt4", "retrain_triggered": True},
    ),
    "adaptive_retrain": Kind(
        "operator",
        "gru.train",
        "ml_training",
        collections.RETRAIN_HISTORY,
        "cpu_training",
        result={"trigger_type": "gpt4_recommendation", "successful_count": 3},
    ),
    "emergency_strategy_disable": Kind(
        "rest_api",
        "disable",
        "critical",
        collections.KILL_SWITCH_HISTORY,
        "emergency",
        conf={"strategy_name": "volume", "reason": "Win rate: 12 %"},
        result_id="{}:volume:disabled",
        result={"strategy": "volume", "applied": True},
    ),
    "backtest_strategy": Kind(
        "cli",
        "backtest",
        "backtesting",
        collections.BACKTEST_RESULTS,
        conf={**PERIOD, "strategy_name": "rsi", "days": 30},
        result={"status": "success", "strategy": "rsi"},
    ),
    "optimize_strategy": Kind(
        "rest_api",
        "optimize",
        "optimization",
        collections.OPTIMIZATION_RESULTS,
        conf={**PERIOD, "strategy_name": "rsi", "days": 180, "parameter_variations": 10, "windows": 2},
        result={"status": "success", "strategy": "rsi"},
    ),
}
WATCHMEN = ("system_health_check", "emergency_strategy_disable")
"""They run beside the scheduler, not on a worker."""


def conf_of(stack: Stack, dag_id: str) -> dict[str, Any]:
    """Return the conf of a run; `days` of a period become its two dates, where the stand-in has candles."""
    conf = dict(KINDS[dag_id].conf)
    if days := conf.pop("days", None):
        first = FIRST + timedelta(weeks=stack.control.data()["shift_weeks"])
        conf |= {"start_date": str(first), "end_date": str(first + timedelta(days=days))}
    return conf


def through_the_cli(stack: Stack, dag_id: str) -> Run:
    """Start a run as an operator does, in the scheduler's container: `airflow dags trigger`."""
    run_id = f"cli__{uuid.uuid4().hex[:12]}"
    subprocess.run(
        [
            sys.executable, "-m", "airflow", "dags", "trigger", dag_id,
            "--run-id", run_id, "--conf", json.dumps(conf_of(stack, dag_id)),
        ],
        env=stack.twin.variables("scheduler", "cli"), cwd=REPOSITORY,
        capture_output=True, text=True, timeout=CLI_TIMEOUT_S, check=True,
    )  # fmt: skip
    return dag_id, run_id


def start(stack: Stack, dag_id: str) -> Run:
    """Start a run through its door."""
    if KINDS[dag_id].door == "cli":
        return through_the_cli(stack, dag_id)
    return stack.start(dag_id, conf_of(stack, dag_id))


def a_short_training(form: Locator) -> None:
    """Fill in the form of `train_model`, in the part that stands open and in one that has to be unfolded."""
    form.get_by_role("combobox", name="Network").click()
    form.page.get_by_role("option", name="GRU", exact=True).click()
    form.get_by_role("combobox", name="Start typing to see options").fill(SYMBOL)
    form.get_by_role("button", name="How to train").click()
    form.get_by_role("spinbutton", name="Epochs").fill(str(EPOCHS))


def await_what_was_missed(stack: Stack) -> None:
    """Wait for the runs that Airflow makes up for at its first start, when their hour is not long ago.

    One of them could take the answer that GPT-4 gives here, and the finding would count as analysed.
    """
    for dag_id in ("daily_performance_analysis", "gpt4_self_analysis"):
        stack.finish_all([(dag_id, run["dag_run_id"]) for run in stack.client.runs(dag_id)], RUN_TIMEOUT_S)


@pytest.fixture(scope="module")
def runs(stack: Stack) -> dict[str, Run]:
    """Start one run of each DAG; return when all have ended, however."""
    await_what_was_missed(stack)
    began = time.monotonic()
    stack.control.scenario("losing")
    stack.control.answers(verdict("retrain"))
    started = {"daily_performance_analysis": start(stack, "daily_performance_analysis")}
    with browser.page_of_admin(stack, "/dags/train_model") as page:
        started["train_model"] = "train_model", browser.trigger(page, a_short_training)
        address = page.url
        browser.leave(page)
        later = {"train_model", *started, *ASKS_A_CHAMPION}
        for dag_id in (name for name, kind in KINDS.items() if kind.door != "operator" and name not in later):
            started[dag_id] = start(stack, dag_id)
        training = stack.finish(started["train_model"], RUN_TIMEOUT_S)
        assert training.state == "success", training.story
        browser.await_state(page, address, "Success")
    for dag_id in ASKS_A_CHAMPION:
        started[dag_id] = start(stack, dag_id)
    analysis = child_run_id("gpt4", started["daily_performance_analysis"][1])
    started["gpt4_self_analysis"] = "gpt4_self_analysis", analysis
    stack.finish_all(started.values(), RUN_TIMEOUT_S)
    started["adaptive_retrain"] = "adaptive_retrain", child_run_id("retrain_BTCUSDT", analysis)
    stack.finish(started["adaptive_retrain"], RUN_TIMEOUT_S)
    stack.control.scenario()
    note("twelve DAGs, one run each: from the first trigger to the last end (s)", time.monotonic() - began)
    return started


@pytest.mark.parametrize("dag_id", KINDS)
def test_a_run_succeeds_through_its_door_and_leaves_one_result(stack: Stack, runs: dict[str, Run], dag_id: str) -> None:
    kind, run = KINDS[dag_id], runs[dag_id]
    view = stack.view(run)
    assert view.state == "success", view.story
    assert stack.client.run(*run)["triggered_by"] == kind.door
    assert view.tasks[kind.work] == "success", view.story
    result_id = kind.result_id.format(run[1])
    (document,) = stack.db[kind.collection].find({"_id": {"$regex": f"^{re.escape(result_id)}"}})
    assert document["_id"] == result_id
    assert all(document[name] == value for name, value in kind.result.items()), document


@pytest.mark.parametrize("dag_id", KINDS)
def test_every_task_is_where_its_dag_says_and_was_done_by_a_worker_of_its_queue(
    stack: Stack, runs: dict[str, Run], dag_id: str
) -> None:
    kind, run = KINDS[dag_id], runs[dag_id]
    said = {task["task_id"]: task for task in stack.client.request("GET", f"/api/v2/dags/{dag_id}/tasks")["tasks"]}
    tasks = stack.tasks(run)
    assert (tasks[kind.work]["queue"], tasks[kind.work]["pool"]) == (kind.queue, kind.pool)
    executed = [task for task in tasks.values() if task["state"] == "success"]
    for task in tasks.values():
        name = task["task_id"]
        assert (task["queue"], task["pool"]) == (said[name]["queue"], said[name]["pool"]), name
    if dag_id in WATCHMEN:
        assert {task["executor"] for task in tasks.values()} == {"LocalExecutor"}
        assert not any(task["id"] in done_by(stack) for task in executed), "a watchman went through the broker"
        return
    known = eventually(lambda: all_known(stack, executed), 30.0, f"Flower has every task of {dag_id}")
    for task in executed:
        worker = known[task["id"]].partition("@")[0]
        service = compose.services()[stack.twin.components()[worker]]
        assert task["queue"] in compose.queues_of(service), f"{task['task_id']} was done by {worker}"


def done_by(stack: Stack) -> dict[str, str]:
    """Return which worker did each task, by the task instance's id: from Celery's own events, as Flower has them."""
    login = tuple(stack.twin.secrets["FLOWER_BASIC_AUTH"].split(":", 1))
    url = f"http://{HOST}:{stack.twin.ports[FLOWER]}/api/tasks"
    answer = httpx.get(url, auth=(login[0], login[1]), timeout=30.0, trust_env=False).raise_for_status().json()
    found = {}
    for event in answer.values():
        assert "token" not in (event["args"] or ""), "what the task may say to the API server with"
        if instance := re.search(r'"ti":\{"id":"([0-9a-f-]{36})"', event["args"] or ""):
            found[instance[1]] = str(event["worker"])
    return found


def all_known(stack: Stack, tasks: list[dict[str, Any]]) -> dict[str, str] | None:
    """Return :func:`done_by` once it has all the tasks: Flower hears of them a moment later."""
    known = done_by(stack)
    return known if all(task["id"] in known for task in tasks) else None
