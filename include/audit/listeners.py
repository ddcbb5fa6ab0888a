"""What happens when Airflow tells that a task or a run has changed its state.

Airflow calls these functions in the task's own process, in the scheduler (runs; tasks whose process died) and in the
API server (somebody marked a run or a task). All they do is write a small file: nothing here waits for a network, and
nothing raises. Nothing of Airflow is imported: its listeners are pluggy's hooks, its objects come as arguments.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, TypeVar

from pluggy import HookimplMarker

from include.audit.cancelled_meanwhile import keep_failure
from include.audit.journal import Journal
from include.audit.letter import FailedTask, letter_document
from include.audit.log_scrub import install
from include.audit.rows import RUN_END, START, TASK_END, audit_row, here, of_run, run_over
from include.settings import get_settings

log = logging.getLogger(__name__)
hookimpl = HookimplMarker("airflow")

CANCELLED = "manually set"
"""How Airflow's word for a run's failure reads when a person has marked it."""
TASK_PROCESS = "TaskRunnerMarker"
"""Class of what a task's process reports as starting; the scheduler and others report their job."""
MAX_TASKS_OF_RUN = 10_000
LINES_PER_FILE = 200

Listener = TypeVar("Listener", bound=Callable[..., None])


def _never_raises(listener: Listener) -> Listener:
    @functools.wraps(listener)
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            listener(*args, **kwargs)
        except Exception:
            log.exception("an audit row could not be written")

    return guarded  # type: ignore[return-value]


@hookimpl
@_never_raises
def on_starting(component: Any) -> None:
    """Scrub the log of a task's process, before its DAG is read."""
    if type(component).__name__ == TASK_PROCESS:
        install()


@hookimpl
@_never_raises
def on_task_instance_running(task_instance: Any) -> None:
    """Note that a task has started."""
    _append(audit_row(START, task_instance, of_run(_run_of(task_instance)), "running") | here() | _what(task_instance))


@hookimpl
@_never_raises
def on_task_instance_success(task_instance: Any) -> None:
    """Note that a task has succeeded."""
    _ended(task_instance, "success", None)


@hookimpl
@_never_raises
def on_task_instance_failed(task_instance: Any, error: Any) -> None:
    """Note that a try has failed; `up_for_retry` says that another one follows."""
    state = str(getattr(task_instance.state, "value", task_instance.state) or "failed")
    _ended(task_instance, state if state in ("failed", "up_for_retry") else "failed", error)


@hookimpl
@_never_raises
def on_task_instance_skipped(task_instance: Any) -> None:
    """Note that a task has skipped itself."""
    _ended(task_instance, "skipped", None)


@hookimpl
@_never_raises
def on_dag_run_success(dag_run: Any) -> None:
    """Note how every task of a run has ended: also of those that never started, or were killed.

    A run that somebody has cancelled in the meantime stays failed, and has been noted as such where that was done.
    """
    if keep_failure(dag_run):
        log.warning(
            "%s %s was cancelled while the scheduler looked at it: it stays failed", dag_run.dag_id, dag_run.run_id
        )
        return
    _run_ended(dag_run, "success", _tasks_of(dag_run))


@hookimpl
@_never_raises
def on_dag_run_failed(dag_run: Any, msg: str) -> None:
    """The same for a failed run, and write its dead letter."""
    tasks = _tasks_of(dag_run)
    _run_ended(dag_run, "failed", tasks)
    _write_letter(dag_run, tasks, msg or "")


def _ended(task: Any, state: str, error: Any) -> None:
    ended_at = task.end_date or datetime.now(UTC)
    row = audit_row(TASK_END, task, of_run(_run_of(task)), state, error, ended_at=ended_at)
    _append(row | here() | _what(task))


def _run_ended(run: Any, state: str, tasks: list[Any]) -> None:
    journal, common = Journal.of(get_settings()), of_run(run)
    lines = [
        audit_row(
            RUN_END, task, common, str(getattr(task.state, "value", task.state) or "none"), ended_at=task.end_date
        )
        | _what(task)
        for task in tasks[:MAX_TASKS_OF_RUN]
    ]
    # Last: what is still running then has been killed.
    lines.append(run_over(run, state))
    for start in range(0, len(lines), LINES_PER_FILE):
        journal.append(lines[start : start + LINES_PER_FILE])


def _write_letter(run: Any, tasks: list[Any], reason: str) -> None:
    from include.audit.letter import letters_of
    from include.errors import TransientError
    from include.store.collections import DEAD_LETTERS

    failed = [
        FailedTask(task.task_id, task.map_index, task.try_number)
        for task in tasks
        if str(getattr(task.state, "value", task.state)) == "failed"
    ]
    letter = letter_document(run, failed, reason, cancelled=CANCELLED in reason)
    settings = get_settings()
    try:
        letters_of(settings).append(DEAD_LETTERS, letter)
    except TransientError as error:  # its row in the audit log says that the run failed, if that one could be kept
        Journal.of(settings).count_dropped(1, error)
        raise


def _append(row: dict[str, Any]) -> None:
    Journal.of(get_settings()).append([row])


def _run_of(task: Any) -> Any:
    """Return a task instance's run, of its process or of Airflow's database; None when it is not to be had."""
    try:
        # What the server said when the task began. The template context has it, too, but every call for that one
        # checks all params against their schemas again.
        said = getattr(task, "_ti_context_from_server", None)
        if said is not None:
            return said.dag_run
        if hasattr(task, "get_template_context") and not hasattr(task, "dag_run"):
            return task.get_template_context()["dag_run"]
        return getattr(task, "dag_run", None)
    except Exception as error:  # noqa: BLE001 - let go by its session: a row without a name beats no row
        log.warning("the run of %s is not known: %s", getattr(task, "task_id", task), type(error).__name__)
        return None


def _what(task: Any) -> dict[str, Any]:
    operator = getattr(getattr(task, "task", None), "task_type", None) or getattr(task, "operator", None)
    return {"operator": operator} if operator else {}


def _tasks_of(run: Any) -> list[Any]:
    """Return the run's task instances, read in the session that the caller has open; without them a letter is one."""
    from sqlalchemy.orm import object_session

    try:
        session = object_session(run)
        if session is None:
            return []
        instances: Iterable[Any] = run.get_task_instances(session=session)
        return list(instances)
    except Exception as error:  # noqa: BLE001 - whatever the database says, that the run has failed is known
        log.warning("the tasks of %s %s are not known: %s", run.dag_id, run.run_id, type(error).__name__)
        return []
