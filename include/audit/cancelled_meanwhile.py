"""A run that was cancelled while the scheduler was looking at it stays failed.

Cancelling a run marks its running tasks failed and those that follow skipped; a run whose last tasks are skipped has
succeeded in the scheduler's eyes. It never looks at a cancelled run, except where a row cannot be locked (SQLite, which
the embedded mode has): a cancellation that falls between its reading of the run and its reading of the run's tasks is
then written over by a success that did not happen.
"""

from __future__ import annotations

from typing import Any

FAILED, RUNNING = "failed", "running"


def keep_failure(run: Any) -> bool:
    """Set a run that is about to be stored as successful back to failed when the database has it failed already.

    :param run: Airflow's `DagRun`, in the session of the process that has just given it its new state.
    :return: whether the run was failed in the meantime. A person who marks a failed run as successful is not meant:
        the process that does that has read it as failed.
    """
    from sqlalchemy import inspect, select
    from sqlalchemy.orm import object_session

    session = object_session(run)
    if session is None or RUNNING not in map(_text, inspect(run).attrs["_state"].history.deleted or ()):
        return False
    model = type(run)
    with session.no_autoflush:  # a flush would store the success first
        stored = session.scalar(select(model.state).where(model.id == run.id))
    if _text(stored) != FAILED:
        return False
    run.set_state(stored)
    return True


def _text(state: Any) -> str:
    return str(getattr(state, "value", state))
