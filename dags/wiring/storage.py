"""What a task has to keep is kept: in MongoDB, or in the spool until MongoDB is back."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pymongo.database import Database

    from include.store.durable import Kept


def keep(
    context: Mapping[str, Any],
    collection: str,
    document: Mapping[str, Any],
    db: Database[dict[str, Any]] | None = None,
) -> Kept:
    """Keep the running task's result as the document of its run (`_id` = run id), fenced by its try number.

    It returns as soon as the document is safe: `stored` in MongoDB, or `spooled` while MongoDB is away; the DAG
    `replay_pending` stores it then, once.

    :param db: a connection that the task has already; without it a new one is made.
    :raises include.errors.FencedError: when a newer try has written already.
    :raises include.errors.BadInputError: for a value that cannot be stored; the message names its path.
    :raises include.errors.TransientError: when the spool cannot keep it either (full or read-only).
    """
    from dags.wiring.runtime import usable_database
    from include.settings import get_settings
    from include.store.durable import keep_result, spool_of

    # No `database()`: making the indexes needs MongoDB, and a result must be kept without it.
    run_id = str(context["run_id"])
    try_number = int(context["ti"].try_number)
    db = usable_database() if db is None else db
    return keep_result(db, spool_of(get_settings()), collection, run_id, document, try_number)


def stored_by_now(db: Database[dict[str, Any]]) -> Database[dict[str, Any]]:
    """Store what the run's earlier tasks have spooled, before a document of theirs is looked for; return the database.

    Between MongoDB's return and the next run of `replay_pending` a kept result is still on the disk.
    """
    from include.settings import get_settings
    from include.store.durable import spool_of
    from include.store.replay import replay

    replay(spool_of(get_settings()), db)
    return db


def free_claims(context: Mapping[str, Any]) -> None:
    """Give back what the run has claimed; while MongoDB is away that is left to the DAG `sweep_leases`."""
    import pymongo

    from dags.wiring.runtime import database, owner_of
    from include.errors import ServiceUnavailableError
    from include.store.durable import TIMEOUT_S
    from include.store.leases import LeaseStore

    try:
        with pymongo.timeout(TIMEOUT_S):
            LeaseStore(database()).release_run(owner_of(context))
    except ServiceUnavailableError as error:
        logging.getLogger(__name__).warning("the run's claims stay until sweep_leases ends them: %s", error)


def keep_row(collection: str, document: Mapping[str, Any]) -> Kept:
    """Keep a row that never changes (`_id` given by the caller): inserted once, however often it is kept.

    :raises include.errors.BadInputError: for a document without `_id`, or a value that cannot be stored.
    :raises include.errors.TransientError: when the spool cannot keep it either (full or read-only).
    """
    from dags.wiring.runtime import usable_database
    from include.settings import get_settings
    from include.store.durable import keep_once, spool_of

    return keep_once(usable_database(), spool_of(get_settings()), collection, document)
