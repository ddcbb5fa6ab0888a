"""Keeps a trigger rule from turning a failed run green."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import task


def fail_when_any_failed(watched: Sequence[Any]) -> None:
    """Add a last task that fails, and with it the run, as soon as a watched task has failed for good.

    It is skipped otherwise. It sends no message of its own: the failed task has sent one.
    """

    @task(task_id="watcher", trigger_rule="one_failed", retries=0, on_failure_callback=None)
    def watcher() -> None:
        """Fail the run: a task before this one has failed."""
        from include.errors import TradingOpsError

        raise TradingOpsError("a task of this run failed: see the red task's log; what followed was still done")

    list(watched) >> watcher()
