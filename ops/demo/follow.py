"""Follows runs over Airflow's REST API and shows them live: tasks, epochs, states."""

from __future__ import annotations

import time
from collections.abc import Sequence

import httpx
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from ops.client import FINISHED_RUN_STATES, AirflowApiError, AirflowClient
from ops.demo.chain import ChainRun

POLL_S = 1.0
DONE_TASK_STATES = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
PROGRESS_KEY = "progress"


class ChainBrokenError(RuntimeError):
    """A run of the chain failed or never came; the message names it."""


class Follower:
    """Shows one bar per run and one line per training that moves.

    On a terminal the bars are live; elsewhere each change of a task is printed once.
    """

    def __init__(self, client: AirflowClient, console: Console) -> None:
        self._client = client
        self._console = console
        self._progress = Progress(
            TextColumn("[bold]{task.description:<18}"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[now]}"),
            console=console,
            transient=False,
            disable=not console.is_terminal,
        )
        self._seen: set[tuple[str, str, str]] = set()

    def follow(self, runs: Sequence[ChainRun], timeout_s: float) -> dict[str, str]:
        """Wait until every run has finished and return their states by run id.

        :raises ChainBrokenError: when a run does not come into being or finish in time.
        """
        deadline = time.monotonic() + timeout_s
        states: dict[str, str] = {}
        with self._progress:
            bars = {run.run_id: self._progress.add_task(run.title, total=100, now="waiting") for run in runs}
            while len(states) < len(runs):
                for run in runs:
                    if run.run_id not in states:
                        state = self._look(run, bars[run.run_id])
                        if state in FINISHED_RUN_STATES:
                            states[run.run_id] = state
                if len(states) == len(runs):
                    break
                if time.monotonic() > deadline:
                    missing = ", ".join(f"{run.dag_id} {run.run_id}" for run in runs if run.run_id not in states)
                    raise ChainBrokenError(f"not finished after {timeout_s:.0f} s: {missing}")
                time.sleep(POLL_S)
        return states

    def _look(self, run: ChainRun, bar: TaskID) -> str | None:
        try:
            state = str(self._client.run(run.dag_id, run.run_id)["state"])
            tasks = self._client.task_instances(run.dag_id, run.run_id)
        except (AirflowApiError, httpx.TransportError) as error:
            if isinstance(error, AirflowApiError) and error.status != httpx.codes.NOT_FOUND:
                raise
            return None
        done, now = 0.0, []
        for task in tasks:
            name, task_state = task["task_id"], task["state"] or "waiting"
            if task_state in DONE_TASK_STATES:
                done += 1
            elif task_state == "running":
                share, text = self._running(run, name)
                done += share
                now.append(text)
            self._say(run, name, task_state)
        percent = 100.0 if state in FINISHED_RUN_STATES else 100 * done / max(1, len(tasks))
        self._progress.update(bar, completed=percent, now=" | ".join(now) or state)
        return state

    def _running(self, run: ChainRun, task_id: str) -> tuple[float, str]:
        if not task_id.endswith(".train"):
            return 0.0, task_id
        progress = self._client.state_store(run.dag_id, run.run_id, task_id, PROGRESS_KEY) or {}
        epoch, epochs = progress.get("current_epoch"), progress.get("total_epochs")
        name = task_id.removesuffix(".train")
        detail = f"epoch {epoch}/{epochs}" if epoch else str(progress.get("message", "starting"))
        return float(progress.get("percent", 0)) / 100, f"{name} {detail}"

    def _say(self, run: ChainRun, task_id: str, state: str) -> None:
        key = (run.run_id, task_id, state)
        if self._console.is_terminal or state in ("waiting", "scheduled", "queued", "skipped") or key in self._seen:
            return
        self._seen.add(key)
        self._console.print(f"  {run.title}: {task_id} {state}", highlight=False)
