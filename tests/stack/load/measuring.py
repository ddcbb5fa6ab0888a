"""Many runs at once, and what Airflow's own database says about when each of them was waited for, started and ended."""

from __future__ import annotations

import statistics
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg

from ops.client import AirflowClient
from ops.environment import ADMIN_NAME
from tests.stack.stack import Run, Stack, eventually

CLIENTS = 4
"""Threads that trigger, each with a connection of its own: faster than the stack works, for every DAG."""
DRIVER = "+psycopg"

TIMES = """
    SELECT r.run_id, r.state, t.task_id, t.state, t.try_number,
           extract(epoch FROM r.queued_at)::float8, extract(epoch FROM t.queued_dttm)::float8,
           extract(epoch FROM t.start_date)::float8, extract(epoch FROM t.end_date)::float8
    FROM dag_run r JOIN task_instance t USING (dag_id, run_id)
    WHERE r.dag_id = %s AND r.run_id = ANY(%s)
"""
UNFINISHED = """
    SELECT count(*) FROM dag_run WHERE dag_id = ANY(%s) AND run_id = ANY(%s) AND state NOT IN ('success', 'failed')
"""


@dataclass(frozen=True)
class TaskTimes:
    """One task of one run; moments in seconds since the epoch, as Airflow has them."""

    run_id: str
    run_state: str
    task_id: str
    state: str
    try_number: int
    triggered: float
    queued: float
    started: float
    ended: float

    @property
    def queue_latency_s(self) -> float:
        """From Airflow's decision that the task may run to its start on a worker."""
        return self.started - self.queued

    @property
    def trigger_latency_s(self) -> float:
        return self.started - self.triggered


@dataclass
class Burst:
    """The tasks of runs that were triggered at once, of one DAG; blocks of several bursts are kept apart."""

    blocks: list[list[TaskTimes]] = field(default_factory=list)

    @property
    def tasks(self) -> list[TaskTimes]:
        return [task for block in self.blocks for task in block]

    @property
    def tasks_per_s(self) -> float:
        """From each block's first trigger to its last end."""
        seconds = sum(max(t.ended for t in block) - min(t.triggered for t in block) for block in self.blocks)
        return len(self.tasks) / seconds

    @property
    def latencies_s(self) -> list[float]:
        return [task.queue_latency_s for task in self.tasks]

    @property
    def latency_s(self) -> float:
        """The median."""
        return statistics.median(self.latencies_s)


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value that `percent` of 100 do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(percent / 100 * (len(ordered) - 1)))]


@contextmanager
def metadata_database(stack: Stack) -> Iterator[psycopg.Connection[Any]]:
    """Open Airflow's database: asking it costs the stack less than asking the API server, which has the work to do."""
    uri = stack.twin.said("scheduler")["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    with psycopg.connect(uri.replace(DRIVER, "", 1), autocommit=True) as connection:
        yield connection


def trigger(stack: Stack, dag_id: str, confs: Iterable[Mapping[str, Any]]) -> list[Run]:
    """Start a run for each conf, over REST, from several clients at once."""

    def some(mine: Sequence[Mapping[str, Any]]) -> list[Run]:
        with AirflowClient(stack.twin.base_url, ADMIN_NAME, stack.twin.admin_password) as client:
            return [(dag_id, client.trigger(dag_id, dict(conf), f"load__{uuid.uuid4().hex}")) for conf in mine]

    shares = list(confs)
    with ThreadPoolExecutor(CLIENTS) as threads:
        parts = threads.map(some, [shares[number::CLIENTS] for number in range(CLIENTS)])
        return [run for part in parts for run in part]


def await_ended(stack: Stack, runs: Sequence[Run], timeout_s: float) -> None:
    """Wait until all runs have succeeded or failed."""
    dag_ids, run_ids = sorted({dag_id for dag_id, _ in runs}), [run_id for _, run_id in runs]
    with metadata_database(stack) as database:

        def unfinished() -> int:
            return int(database.execute(UNFINISHED, (dag_ids, run_ids)).fetchone()[0])  # type: ignore[index]

        eventually(lambda: unfinished() == 0, timeout_s, f"{len(runs)} runs of {dag_ids}")


def times(stack: Stack, runs: Sequence[Run]) -> list[TaskTimes]:
    """Return the tasks of runs of one DAG."""
    (dag_id,) = {dag_id for dag_id, _ in runs}
    with metadata_database(stack) as database:
        return [TaskTimes(*row) for row in database.execute(TIMES, (dag_id, [run_id for _, run_id in runs]))]


def burst(stack: Stack, dag_id: str, conf: Mapping[str, Any], count: int, timeout_s: float) -> list[TaskTimes]:
    """Start `count` runs at once, wait for their ends and return their tasks."""
    runs = trigger(stack, dag_id, [conf] * count)
    await_ended(stack, runs, timeout_s)
    return times(stack, runs)
