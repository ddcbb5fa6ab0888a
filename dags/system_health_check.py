"""# System health check

Asks the bot's services, MongoDB, Redis, RabbitMQ, disk and memory how they are, and tells people what changed.

- **When:** every 15 minutes, or on demand. At most 25 seconds, whatever hangs.
- **Down** means: two attempts failed within one check. **Slow** means: an answer after more than 5 s (engine, AI
  service, RabbitMQ), 3 s (dashboard) or 1 s (MongoDB, Redis). Disk and memory warn from 80 %, are critical above 90 %
  (settings `TRADING_OPS_HEALTH_DISK_*_PERCENT`, `TRADING_OPS_HEALTH_MEMORY_*_PERCENT`).
- **Whole:** the worst of all: `healthy`, `degraded` or `critical`.
- **Messages:** one CRITICAL (or WARNING) that names everything new, one more when something is still down after
  `TRADING_OPS_HEALTH_ESCALATE_AFTER_S`, one when it is back. Nothing is said twice.
- **Restart:** with `TRADING_OPS_REDIS_RESTART_COMMAND` or `TRADING_OPS_RABBITMQ_RESTART_COMMAND`, once per outage.
- **Result:** in `health_reports` and as XCom. While MongoDB is away it waits in the spool; alerts go out directly.
- **Runs beside the scheduler**, not through RabbitMQ, so that the broker's death cannot stop it.
- **Fails** only when the report can be neither stored nor spooled, or after two minutes: an ERROR.
  A run that is not over after five minutes, for instance because the scheduler could not start it, is a CRITICAL.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from dags.wiring.defaults import watchman_defaults
from dags.wiring.health import say_unfinished
from dags.wiring.params import dag_params, run_params
from include.tasks_api.params.reports import HealthCheckParams


@dag(
    dag_id="system_health_check",
    description="Asks every service how it is, tells people what changed, and keeps the report.",
    schedule="*/15 * * * *",
    params=dag_params(HealthCheckParams),
    tags=["monitoring", "scheduled"],
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=10),
    deadline=DeadlineAlert(
        DeadlineReference.DAGRUN_QUEUED_AT, interval=timedelta(minutes=5), callback=AsyncCallback(say_unfinished)
    ),
    doc_md=__doc__,
    **watchman_defaults("RiskOfficer"),
)
def system_health_check() -> None:
    """Wire the DAG."""

    @task(multiple_outputs=False, execution_timeout=timedelta(minutes=2))
    def check(**context: Any) -> dict[str, Any]:
        """Probe, compare with the last check, alert, keep the report."""
        from dags.wiring.health import run_health_check

        run_params(HealthCheckParams, context)
        return run_health_check(context)

    check()


system_health_check()
