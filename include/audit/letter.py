"""A dead letter: a run that failed for good, with everything needed to run it again - and no secrets.

A letter is written by Airflow's scheduler into a subfolder of the spool and stored by `replay_pending`; only there the
errors of its tasks are known, from their audit rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from include.audit.masking import masked
from include.audit.rows import MAX_CONF_CHARS, who
from include.notify.scrub import scrub

if TYPE_CHECKING:
    from include.settings import Settings
    from include.store.spool import Spool

FOLDER = "dead_letters"
"""Subfolder of the spool for letters that MongoDB does not have yet."""
MAX_TASKS = 50
REPLAY_PREFIX = re.compile(r"^replay__(?:(\d+)__)?")


@dataclass(frozen=True)
class FailedTask:
    """A failed task of a dead letter."""

    task_id: str
    map_index: int
    attempts: int


def letters_of(settings: Settings) -> Spool:
    """Return the spool of the letters; like the results' one it takes `spool_max_mb` at most."""
    from include.store.spool import Spool  # bson: not for every process in which a listener is registered

    return Spool(settings.spool_dir / FOLDER, max_bytes=round(settings.spool_max_mb * 1_000_000))


def letter_id(dag_id: str, run_id: str) -> str:
    """Return the `_id` of a run's letter."""
    return f"{dag_id}:{run_id}"


def letter_document(run: Any, failed: Iterable[FailedTask], reason: str, *, cancelled: bool) -> dict[str, Any]:
    """Return the letter of a failed run.

    :param run: the DAG run of Airflow's database.
    :param reason: Airflow's word for how it failed.
    :param cancelled: a person failed the run on purpose: it is `dismissed` and only replayed when named.
    """
    conf, hidden = _kept_conf(run.conf or {})
    tasks = list(failed)
    return {
        "_id": letter_id(run.dag_id, run.run_id),
        "dag_id": run.dag_id,
        "run_id": run.run_id,
        "state": "dismissed" if cancelled else "waiting",
        "cancelled": cancelled,
        "reason": scrub(reason)[:500],
        # As text: keys of a conf may be anything, and what is run again must be exactly that.
        "conf": conf,
        "give_again": hidden,
        "who": who(run),
        "run_type": str(getattr(run.run_type, "value", run.run_type)),
        "logical_date": run.logical_date,
        "started_at": run.start_date,
        "failed_at": run.end_date or datetime.now(UTC),
        "failed_count": len(tasks),
        "failed_tasks": [
            {"task_id": task.task_id, "map_index": task.map_index, "attempts": task.attempts, "error": None}
            for task in tasks[:MAX_TASKS]
        ],
        "origin": None,
        "replay_run_id": None,
        "replayed_by": None,
        "replayed_at": None,
    }


def _kept_conf(given: Any) -> tuple[str, list[str]]:
    size = len(json.dumps(given, default=str))
    if size > MAX_CONF_CHARS:
        return "{}", [f"the whole conf ({size} characters)"]
    clean, hidden = masked(given)
    return json.dumps(clean, default=str), hidden


def replay_run_id(run_id: str) -> str:
    """Return the id of the run that replays a run: the first, the second ... replay of the same original.

    >>> replay_run_id("manual__1"), replay_run_id("replay__manual__1"), replay_run_id("replay__2__manual__1")
    ('replay__manual__1', 'replay__2__manual__1', 'replay__3__manual__1')
    """
    found = REPLAY_PREFIX.match(run_id)
    if not found:
        return f"replay__{run_id}"
    return f"replay__{int(found.group(1) or 1) + 1}__{run_id[found.end() :]}"


def replayed_from(run_id: str) -> str | None:
    """Return the run of which a run is the replay, by its name; None for a run that is none.

    >>> replayed_from("replay__2__manual__1"), replayed_from("replay__manual__1"), replayed_from("manual__1")
    ('replay__manual__1', 'manual__1', None)
    """
    found = REPLAY_PREFIX.match(run_id)
    if not found:
        return None
    original, count = run_id[found.end() :], int(found.group(1) or 1)
    return {1: original, 2: f"replay__{original}"}.get(count, f"replay__{count - 1}__{original}")
