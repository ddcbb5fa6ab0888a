"""Says a task's failure to people: an Airflow failure callback that writes to the outbox."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def notify_failure(context: Mapping[str, Any]) -> None:
    """Send one ERROR message for a task that has failed for good (runs in the task's process).

    The message is kept once per task of a run, however often the callback is called, until the task is cleared.
    """
    _say(context)


def notify_failure_hourly(context: Mapping[str, Any]) -> None:
    """Send one ERROR message an hour, for a DAG that runs every minute and would say the same every minute."""
    from datetime import UTC, datetime

    _say(context, f"{datetime.now(UTC):%Y-%m-%dT%H}")


def _say(context: Mapping[str, Any], once_per: str | None = None) -> None:
    from dags.wiring.runtime import send
    from include.notify.failure import failure_message

    ti = context["ti"]
    error = context.get("exception")
    send(failure_message(ti.dag_id, ti.run_id, ti.task_id, ti.map_index, error, ti.try_number, once_per))
