"""The message that says which task failed, and why."""

from __future__ import annotations

from include.notify.message import Message, Severity


def failure_message(
    dag_id: str,
    run_id: str,
    task_id: str,
    map_index: int = -1,
    error: BaseException | str | None = None,
    attempt: int | None = None,
    once_per: str | None = None,
) -> Message:
    """Return the ERROR message for a task that has failed for good; one per task, run and last attempt.

    A run that somebody has cleared and that fails again is said again.

    :param map_index: of a mapped task, -1 for others.
    :param once_per: one message for all runs with the same text here, instead of one per run.
    :param error: what it failed with; a killed task leaves none.
    """
    name = f"{task_id}[{map_index}]" if map_index >= 0 else task_id
    if isinstance(error, BaseException):
        body = f"{type(error).__name__}: {error}"
    else:
        body = error or "no error is known: the task's process was killed, or its run was marked failed"
    return Message(
        severity=Severity.ERROR,
        title=f"{dag_id}: task {name} failed",
        body=body,
        fields={"DAG": dag_id, "Run": run_id, "Task": name},
        dedupe_key=f"failure:{dag_id}:{once_per or f'{run_id}:{attempt or 0}'}:{name}",
    )
