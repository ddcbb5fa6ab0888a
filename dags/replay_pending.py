"""# Replay pending

Brings to MongoDB what waits on this host's disk, and to the channels what waits in the outbox.

- **When:** every minute (`TRADING_OPS_REPLAY_SCHEDULE`), beside the scheduler: it needs no broker.
- **`replay_spool`** stores results and messages that were spooled while MongoDB was away, in order, each exactly once;
  then the audit rows of all tasks, then the dead letters of failed runs. Its XCom counts them.
- **`deliver_outbox`** tries every channel again that has not taken a message yet.
- **Says** (once a day per problem) that the spool is full, cannot be written to or read, that a spooled file is
  damaged (it is moved to `damaged/`), that audit rows were dropped; once per outage, that results wait for MongoDB.
- **Is green while MongoDB is away:** nothing is lost then; the XCom says what waits and why. The health check says that
  MongoDB is down.
- **Retries nothing:** the next run is a minute away, and only one runs at a time. What fails all the same is said once
  an hour.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from dags.wiring.defaults import watchman_defaults
from dags.wiring.notifier import notify_failure_hourly
from dags.wiring.params import dag_params, run_params
from dags.wiring.retry import retries
from include.settings import get_settings
from include.tasks_api.params.storage import ReplayPendingParams

AT_NEXT_RUN: dict[str, Any] = {**retries(0), "on_failure_callback": notify_failure_hourly}


@dag(
    dag_id="replay_pending",
    description="Stores what was spooled while MongoDB was away; delivers waiting messages.",
    schedule=get_settings().replay_schedule,
    params=dag_params(ReplayPendingParams),
    tags=["storage", "scheduled"],
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=30),
    doc_md=__doc__,
    **watchman_defaults("MLAdmin", "RiskOfficer"),
)
def replay_pending() -> None:
    """Wire the DAG."""

    @task(multiple_outputs=False, **AT_NEXT_RUN)
    def replay_spool(**context: Any) -> dict[str, Any]:
        """Store what waits on this host's disk."""
        from dags.wiring.replay import replay_spool

        run_params(ReplayPendingParams, context)
        return replay_spool()

    @task(trigger_rule="all_done", multiple_outputs=False, **AT_NEXT_RUN)
    def deliver_outbox() -> dict[str, Any]:
        """Deliver what waits in the outbox."""
        from dags.wiring.outbox import deliver_outbox

        return deliver_outbox()

    replay_spool() >> deliver_outbox()


replay_pending()
