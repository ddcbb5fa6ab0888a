"""The work that goes on while something fails, and the count of it afterwards: nothing lost, nothing twice."""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import psutil

from include.store import collections
from ops.processes import COMPONENT_VARIABLE
from tests.chain.strategy_lab import BACKTEST, FIRST, HALF_A_YEAR, OPTIMISE
from tests.stack.stack import Run, Stack, eventually

TRAINING = "train_model"
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
TASK = "gru.train"
"""GRUs compile in a few seconds, and their epochs are short: the checkpoints come often."""
FINISH_TIMEOUT_S = 900.0


def training(stack: Stack, symbol: str, epochs: int) -> Run:
    """Start a training that is checkpointed every epoch."""
    return stack.start(TRAINING, {"model_type": "gru", "symbol": symbol, "epochs": epochs, "deploy": False})


def epochs_done(stack: Stack, run: Run) -> int:
    """Return the epoch that a training says it has reached."""
    progress = stack.client.state_store(*run, TASK, "progress") or {}
    return int(progress.get("current_epoch") or 0)


def await_epochs(stack: Stack, run: Run, epochs: int, timeout_s: float = 180.0) -> None:
    """Wait until a training has done so many epochs."""
    eventually(lambda: epochs_done(stack, run) >= epochs, timeout_s, f"{epochs} epochs of {run}")


def component_of(stack: Stack, run: Run, task_id: str = TASK) -> str:
    """Return the name of the process of the stack whose child works on a task now."""
    task = stack.tasks(run)[task_id]
    return psutil.Process(task["pid"]).environ()[COMPONENT_VARIABLE]


def backtests(stack: Stack, count: int) -> list[Run]:
    """Start so many small backtests at once, each over a period of its own."""
    return [_in_laboratory(stack, BACKTEST, number, days=30) for number in range(count)]


def searches(stack: Stack, count: int) -> list[Run]:
    """Start so many small optimisations at once."""
    return [
        _in_laboratory(stack, OPTIMISE, number, days=HALF_A_YEAR, parameter_variations=10) for number in range(count)
    ]


def _in_laboratory(stack: Stack, dag_id: str, number: int, days: int, **more: Any) -> Run:
    start = FIRST + timedelta(weeks=stack.control.data()["shift_weeks"], days=number)
    period = {"start_date": str(start), "end_date": str(start + timedelta(days=days))}
    conf = {"strategy_name": "rsi", "symbol": "BTCUSDT", **period, **more}
    return stack.start(dag_id, conf, f"chaos__{number}__{uuid.uuid4().hex[:8]}")


@dataclass
class Count:
    """What became of the runs: `lost` did not succeed or left no result, `doubled` left more than one."""

    runs: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    tried_again: int = 0

    def __str__(self) -> str:
        """For the table."""
        numbers = f"{len(self.lost)} lost, {len(self.doubled)} doubled, {self.tried_again} tasks tried again"
        return f"{self.runs} runs, {numbers}"


def count(stack: Stack, runs: list[Run], timeout_s: float = FINISH_TIMEOUT_S) -> Count:
    """Wait for all runs to end and look at each one's tasks and results."""
    states = stack.finish_all(runs, timeout_s)
    result = Count(len(runs))
    for run in runs:
        dag_id, run_id = run
        tasks = stack.client.task_instances(*run)
        result.tried_again += sum(task["try_number"] > 1 for task in tasks)
        found = results_of(stack, dag_id, run_id)
        if states[run] != "success" or not all(found.values()):
            failed = [f"{task['task_id']} {task['state']}" for task in tasks if task["state"] != "success"]
            result.lost.append(f"{run_id}: {states[run]}, results {found}, {failed}")
        if any(number > 1 for number in found.values()):
            result.doubled.append(f"{run_id}: {found}")
        if dag_id == TRAINING:
            result.doubled += twice_trained(stack, run_id)
    return result


def results_of(stack: Stack, dag_id: str, run_id: str) -> dict[str, int]:
    """Return how many documents of each collection are a run's result: one each is right."""
    kinds = {
        BACKTEST: (collections.BACKTEST_RESULTS,),
        OPTIMISE: (collections.OPTIMIZATION_RESULTS,),
        TRAINING: (collections.TRAINING_JOBS, collections.MODELS),
    }
    return {name: stack.db[name].count_documents({"task_id": run_id}) for name in kinds[dag_id]}


def twice_trained(stack: Stack, run_id: str) -> list[str]:
    """Return the epochs of a training that stand in its record more than once, or not in order."""
    job: dict[str, Any] = stack.db[collections.TRAINING_JOBS].find_one({"task_id": run_id}) or {}
    epochs = [row["epoch"] for row in job.get("epoch_metrics", [])]
    twice = [epoch for epoch, times in Counter(epochs).items() if times > 1]
    in_order = epochs == list(range(1, len(epochs) + 1))
    return [] if in_order and not twice else [f"{run_id}: epochs {epochs}"]
