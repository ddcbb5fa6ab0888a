"""Waits for the chain's own runs before the demo starts its: a symbol is retrained by one run at a time.

A fresh Airflow that starts up to a tenth of a day after one of the chain's hours does first what was due then
(`CronTriggerTimetable` of 3.3.2). What becomes due while the demo runs is let go first as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from ops.client import FINISHED_RUN_STATES, AirflowClient
from ops.demo.follow import ChainBrokenError

# In the chain's order: who starts another run ends after it exists, so one pass cannot miss it.
CHAIN_DAGS = ("daily_performance_analysis", "gpt4_self_analysis", "adaptive_retrain")
DEMO_LASTS = timedelta(minutes=5)
"""Twice what it takes on 2 cores."""
POLL_S = 1.0


def pending(client: AirflowClient, until: datetime) -> list[str]:
    """Return the chain's runs that have not finished, and the scheduled ones still to be made that begin by `until`.

    A paused DAG begins nothing.
    """
    found = []
    listed = {dag["dag_id"]: dag for dag in client.dags()}
    for dag_id in CHAIN_DAGS:
        due = listed[dag_id]["next_dagrun_run_after"]
        if due and not listed[dag_id]["is_paused"] and datetime.fromisoformat(due) <= until:
            found.append(f"{dag_id} of {due}")
        found += [
            f"{dag_id} {run['dag_run_id']}" for run in client.runs(dag_id) if run["state"] not in FINISHED_RUN_STATES
        ]
    return found


def wait_until_quiet(
    client: AirflowClient, timeout_s: float, say: Callable[[str], None], lasts: timedelta = DEMO_LASTS
) -> None:
    """Return once nothing of the chain runs, and nothing of it will begin on its own as long as the demo lasts.

    :param say: is told what is waited for, whenever that changes.
    :raises ChainBrokenError: when something still is after `timeout_s`; the message names it.
    """
    deadline = time.monotonic() + timeout_s
    said: list[str] = []
    while found := pending(client, datetime.now(UTC) + lasts):
        if found != said:
            say(f"Waiting for the chain's own runs: {', '.join(found)}")
            said = found
        if time.monotonic() > deadline:
            raise ChainBrokenError(f"the demo cannot begin: after {timeout_s:.0f} s there is still: {', '.join(found)}")
        time.sleep(POLL_S)
