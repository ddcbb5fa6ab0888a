"""# Retention

Removes what is older than it is kept.

- **When:** daily at 04:30 UTC, or on demand; with `dry_run` it only counts.
- **Documents** of MongoDB: results, reports, delivered or given-up messages, replayed and dismissed dead letters 180
  days (`TRADING_OPS_RESULT_RETENTION_DAYS`; the GPT-4 ledger at least 62), audit rows 365
  (`TRADING_OPS_AUDIT_RETENTION_DAYS`). Models, champions, deployments, candles, switches and their histories stay;
  messages and letters that still wait stay, however old. Caches expire by themselves.
- **Pages** of backtests and optimisations go with their results; variations of optimisations that ended without one 7
  days after they were computed (`TRADING_OPS_CHECKPOINT_RETENTION_DAYS`).
- **Files** of this host: checkpoints 7 days after the last time a training wrote one
  (`TRADING_OPS_CHECKPOINT_RETENTION_DAYS`), logs of ended runs and of the DAG processor 7 days
  (`TRADING_OPS_LOG_RETENTION_DAYS`).
- **Result:** counts per collection and folder, as XCom of each task.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from dags.wiring import retention as steps
from dags.wiring.defaults import dag_defaults
from dags.wiring.params import dag_params
from include.tasks_api.params.storage import RetentionParams


@dag(
    dag_id="retention",
    description="Removes documents, checkpoints and task logs that are older than they are kept.",
    schedule="30 4 * * *",
    params=dag_params(RetentionParams),
    tags=["storage", "scheduled"],
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    doc_md=__doc__,
    **dag_defaults("scheduled", "MLAdmin"),
)
def retention() -> None:
    """Wire the DAG."""

    @task(multiple_outputs=False)
    def documents(**context: Any) -> dict[str, int]:
        """Remove old documents of MongoDB."""
        return steps.remove_documents(context)

    @task
    def checkpoints(**context: Any) -> list[str]:
        """Remove checkpoints that nobody has resumed."""
        return steps.remove_checkpoints(context)

    @task(multiple_outputs=False)
    def task_logs(**context: Any) -> dict[str, int]:
        """Remove task logs of ended runs."""
        return steps.remove_logs(context)

    documents()
    checkpoints()
    task_logs()


retention()
