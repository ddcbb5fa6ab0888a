"""A DAG whose one task does nothing: what Airflow itself needs for a task, and what a light one is compared with.

Not shipped. It imports nothing of the bundle, and is queued, pooled, ordered and tried again as `predict_price` is.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag, task


@dag(
    dag_id="empty_task",
    schedule=None,
    catchup=False,
    is_paused_upon_creation=False,
    dagrun_timeout=timedelta(hours=1),
    default_args={
        "queue": "bulk_analysis",
        "priority_weight": 6,
        "weight_rule": "absolute",
        "retries": 8,
        "execution_timeout": timedelta(minutes=10),
    },
)
def empty_task() -> None:
    """Wire the DAG."""

    @task
    def nothing() -> None:
        """Do nothing."""

    nothing()


empty_task()
