"""Result documents: one per run, `_id` = `task_id`, never overwritten by an older try."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pymongo.errors import DuplicateKeyError

from include.errors import BadInputError, FencedError, TransientError
from include.store.documents import storable
from include.store.outage import mongo_outage

if TYPE_CHECKING:
    from pymongo.database import Database

MAX_ROUNDS = 20


def store_result(
    db: Database[dict[str, Any]], collection: str, task_id: str, document: Mapping[str, Any], try_number: int
) -> None:
    """Write a run's document as a whole; a retry overwrites it and never duplicates it.

    `_id`, `task_id`, `try_number` and `stored_at` (aware UTC) are added.

    :raises FencedError: when a newer try has written already; nothing changes then.
    :raises BadInputError: for a number, time or type that cannot be stored; the message names its path.
    :raises ServiceUnavailableError: while MongoDB is away.
    """
    write_result(db, collection, result_document(task_id, document, try_number))


def write_result(db: Database[dict[str, Any]], collection: str, whole: Mapping[str, Any]) -> None:
    """Write what :func:`result_document` made, unless a newer try has written already; it may be written again.

    :raises FencedError: when a newer try has written already; nothing changes then.
    :raises ServiceUnavailableError: while MongoDB is away.
    """
    task_id, try_number = whole["_id"], whole["try_number"]
    with mongo_outage(f"storing the result of run {task_id} in {collection}"):
        for _ in range(MAX_ROUNDS):
            try:
                db[collection].replace_one(_up_to(task_id, try_number), whole, upsert=True)
                return
            except DuplicateKeyError as error:
                if "_id" not in (error.details or {}).get("keyPattern", {}):
                    raise
                _refuse_older(db, collection, task_id, try_number)
    raise TransientError(f"the result of run {task_id} in {collection} is being rewritten all the time; try again")


def update_result(
    db: Database[dict[str, Any]], collection: str, task_id: str, changes: Mapping[str, Any], try_number: int
) -> None:
    """Set some fields of a run's document; keys may be paths, as `models.lstm.status`.

    `try_number` and `updated_at` (aware UTC) are set too.

    :raises FencedError: when a newer try has written already; nothing changes then.
    :raises BadInputError: when there is no such document, or for a value that cannot be stored.
    :raises ServiceUnavailableError: while MongoDB is away.
    """
    _check_try(task_id, try_number)
    fields = {**storable(changes), "try_number": try_number, "updated_at": datetime.now(UTC)}
    fields.pop("_id", None)
    with mongo_outage(f"updating the result of run {task_id} in {collection}"):
        for _ in range(MAX_ROUNDS):
            if db[collection].update_one(_up_to(task_id, try_number), {"$set": fields}).matched_count:
                return
            if not _refuse_older(db, collection, task_id, try_number):
                raise BadInputError(f"there is no document of run {task_id} in {collection} to update; store it first")
    raise TransientError(f"the result of run {task_id} in {collection} is being rewritten all the time; try again")


def result_document(task_id: str, document: Mapping[str, Any], try_number: int) -> dict[str, Any]:
    """Return the document as :func:`store_result` writes it (for the spool, while MongoDB is away)."""
    _check_try(task_id, try_number)
    return {
        **storable(document),
        "_id": task_id,
        "task_id": task_id,
        "try_number": try_number,
        "stored_at": datetime.now(UTC),
    }


def _up_to(task_id: str, try_number: int) -> dict[str, Any]:
    """Match the run's document unless a newer try wrote it (`$not` also matches one without a try number)."""
    return {"_id": task_id, "try_number": {"$not": {"$gt": try_number}}}


def _refuse_older(db: Database[dict[str, Any]], collection: str, task_id: str, try_number: int) -> bool:
    """Raise when a newer try has written; else tell whether there is a document at all."""
    stored = db[collection].find_one({"_id": task_id}, {"try_number": 1})
    newest = (stored or {}).get("try_number")
    if newest is not None and newest > try_number:
        raise FencedError(
            f"try {newest} of run {task_id} has written to {collection}: try {try_number} must not write any more"
        )
    return stored is not None


def _check_try(task_id: str, try_number: int) -> None:
    if not task_id or isinstance(try_number, bool) or not isinstance(try_number, int) or try_number < 0:
        raise BadInputError(f"a result needs a task id and a try number of 0 or more: {task_id!r}, {try_number!r}")
