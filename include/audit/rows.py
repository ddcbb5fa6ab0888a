"""What an audit row says, from what Airflow tells a listener. Plain JSON, scrubbed and bounded.

Three sources tell about one try, each better than the one before: the task's start, the end of its run (where the
scheduler knows how it ended, also when the process was killed and could say nothing), and the task's own end.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from include.audit.masking import masked
from include.notify.scrub import scrub

MAX_ERROR_CHARS = 1_000
MAX_PARAMS_CHARS = 1_000
MAX_CONF_CHARS = 200_000
"""A longer conf is not looked through: the scheduler waits meanwhile."""
START, RUN_END, TASK_END = "start", "run_end", "task_end"
SOURCES = (START, RUN_END, TASK_END)
"""Who wrote the row, the weakest first: a stronger source overwrites a weaker one, never the other way."""
RUN_OVER = "run_over"
"""Kind of a line that is no row: this run has ended, so what it started and nobody ended was killed."""


def row_id(dag_id: str, run_id: str, task_id: str, map_index: int, attempt: int) -> str:
    """Return the `_id` of one try's row."""
    return f"{dag_id}:{run_id}:{task_id}:{map_index}:{attempt}"


def audit_row(
    source: str,
    task: Any,
    run: Mapping[str, Any],
    state: str,
    error: BaseException | str | None = None,
    *,
    ended_at: datetime | None = None,
) -> dict[str, Any]:
    """Return the row of one try.

    :param source: one of :data:`SOURCES`.
    :param task: a task instance, of the task's process or of Airflow's database.
    :param run: what :func:`of_run` says about its run.
    """
    map_index = task.map_index if task.map_index is not None else -1
    started = task.start_date
    row = {
        "_id": row_id(task.dag_id, task.run_id, task.task_id, map_index, task.try_number),
        "source": source,
        "dag_id": task.dag_id,
        "run_id": task.run_id,
        "task_id": task.task_id,
        "map_index": map_index,
        "attempt": task.try_number,
        "state": state,
        "started_at": _text(started),
        "ended_at": _text(ended_at),
        "duration_s": round((ended_at - started).total_seconds(), 3) if started and ended_at else None,
        "error": error_text(error),
        "noted_at": _text(datetime.now(UTC)),
        **run,
    }
    return {name: value for name, value in row.items() if value is not None}


def run_over(run: Any, state: str) -> dict[str, Any]:
    """Return the line that says that a run has ended."""
    return {
        "kind": RUN_OVER,
        "dag_id": run.dag_id,
        "run_id": run.run_id,
        "state": state,
        "at": _text(datetime.now(UTC)),
    }


def here() -> dict[str, Any]:
    """Return where this process runs."""
    return {"host": socket.gethostname(), "pid": os.getpid()}


def who(run: Any) -> str:
    """Return who started a run: the user, or `schedule`."""
    name = getattr(run, "triggering_user_name", None)
    if name:
        return str(name)
    kind = _word(getattr(run, "run_type", None))
    return "schedule" if kind == "scheduled" else kind or "unknown"


def params_text(conf: Any) -> str | None:
    """Return a run's conf as one line of JSON, scrubbed, cut where it is long."""
    if not conf:
        return None
    size = len(json.dumps(conf, default=str))
    if size > MAX_CONF_CHARS:
        return f"(a conf of {size} characters)"
    clean, _ = masked(conf)
    text = json.dumps(clean, default=str, sort_keys=True)
    return text if len(text) <= MAX_PARAMS_CHARS else f"{text[:MAX_PARAMS_CHARS]}... ({len(text)} characters)"


def error_text(error: BaseException | str | None) -> str | None:
    """Return what went wrong as one bounded text without secrets."""
    if error is None:
        return None
    text = scrub(f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else str(error))
    return text if len(text) <= MAX_ERROR_CHARS else f"{text[:MAX_ERROR_CHARS]}... ({len(text)} characters)"


def of_run(run: Any) -> dict[str, Any]:
    """Return what every row of a run says: who started it, how, with which params.

    :param run: the DAG run, of the task's process or of Airflow's database; None when it is not known.
    """
    if run is None:
        return {}
    return {"who": who(run), "run_type": _word(getattr(run, "run_type", None)), "params": params_text(run.conf)}


def _word(value: Any) -> str | None:
    return None if value is None else str(getattr(value, "value", value))


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()
