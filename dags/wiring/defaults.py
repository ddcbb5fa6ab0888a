"""What every DAG of the bundle sets: owner, retries, pool, queue, priority, rights, tags.

Queues are Celery's routing and mean nothing to the LocalExecutor. Priorities are absolute.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from dags.wiring.notifier import notify_failure
from dags.wiring.retry import retries
from include.settings import get_settings

CPU_POOL, GPU_POOL, CRITICAL_POOL = "cpu_training", "gpu", "critical"
Queue = Literal["critical", "ml_training", "bulk_analysis", "backtesting", "optimization", "scheduled"]
PRIORITY: dict[Queue, int] = {
    "critical": 10, "ml_training": 8, "bulk_analysis": 6, "scheduled": 5, "backtesting": 3, "optimization": 1,
}  # fmt: skip

SHORT_TASKS_OF: dict[Queue, Queue] = {"ml_training": "scheduled"}
"""Where a DAG's other tasks run. The training workers have a slot per training and nothing else: behind two trainings
of hours, the admission of a third would wait inside the broker until it is given up."""

TAGS = ("ml", "monitoring", "ai-improvement", "market-data", "risk", "storage", "strategies", "scheduled", "on-demand")
"""The tags a DAG may carry; a test compares."""


def training_pool() -> str:
    """Return the pool of the training tasks: `gpu` where the training workers have some, else `cpu_training`."""
    return GPU_POOL if get_settings().gpu_count > 0 else CPU_POOL


def task_defaults(queue: Queue, timeout: timedelta = timedelta(minutes=10)) -> dict[str, Any]:
    """Return a DAG's `default_args`. What is to run on the training workers says `queue="ml_training"` itself."""
    return {
        "owner": "trading-ops",
        "queue": SHORT_TASKS_OF.get(queue, queue),
        "priority_weight": PRIORITY[queue],
        "weight_rule": "absolute",
        "execution_timeout": timeout,
        "on_failure_callback": notify_failure,
        **retries(),
    }


def dag_defaults(queue: Queue, *roles: str) -> dict[str, Any]:
    """Return the arguments that every `@dag` of the bundle passes.

    :param roles: who may trigger the DAG, besides Admin; every role may read it.
    """
    return {
        # No start_date: with one, a new deployment would run every schedule's last missed moment at once.
        "catchup": False,
        "is_paused_upon_creation": False,
        "default_args": task_defaults(queue),
        "access_control": access_control(*roles),
    }


def watchman_defaults(*roles: str) -> dict[str, Any]:
    """Return the arguments of a DAG that must work whatever else does not: health, risk, replay.

    Its tasks run beside the scheduler instead of going through the broker, in a pool of their own, before all others.
    """
    defaults = dag_defaults("critical", *roles)
    defaults["default_args"] |= {"pool": CRITICAL_POOL, "executor": "LocalExecutor"}
    return defaults


READERS = ("Viewer", "Trader", "MLAdmin", "RiskOfficer")


def access_control(*roles: str) -> dict[str, dict[str, set[str]]]:
    """Return the rights on one DAG: all roles read it, the named ones also trigger it."""
    rights: dict[str, dict[str, set[str]]] = {
        role: {"DAGs": {"can_read"}, "DAG Runs": {"can_read"}} for role in READERS
    }
    for role in roles:
        rights[role] = {"DAGs": {"can_read", "can_edit"}, "DAG Runs": {"can_read", "can_create"}}
    return rights
