"""Keeps a document wherever it can be kept: in MongoDB, else fsynced in the spool until MongoDB is back.

The document is built once and has the same times in both places: a write whose confirmation got lost is recognised when
the spooled copy is replayed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import pymongo
from pymongo.errors import DuplicateKeyError, PyMongoError, WriteError

from include.errors import ServiceUnavailableError
from include.notify.scrub import excerpt
from include.store.documents import storable
from include.store.outage import mongo_outage
from include.store.results import result_document, write_result
from include.store.spool import Spool

if TYPE_CHECKING:
    from pymongo.database import Database

    from include.settings import Settings

log = logging.getLogger(__name__)

Kept = Literal["stored", "spooled"]
BYTES_PER_MB = 10**6
TIMEOUT_S = 6.0
"""For storing one document, the driver's retries included: a MongoDB that takes longer is away."""
NOT_USABLE = "the connection mongo_default is not usable"


def spool_of(settings: Settings) -> Spool:
    """Return the configured spool; it refuses documents beyond `spool_max_mb`."""
    return Spool(settings.spool_dir, max_bytes=round(settings.spool_max_mb * BYTES_PER_MB))


def keep_result(
    db: Database[dict[str, Any]] | None,
    spool: Spool,
    collection: str,
    task_id: str,
    document: Mapping[str, Any],
    try_number: int,
) -> Kept:
    """Store a run's result as :func:`~include.store.results.store_result` does, or spool it while MongoDB is away.

    A MongoDB that refuses us (a password that was changed, a right that is missing) is away, too.

    :param db: None when the connection itself is not usable: then it is spooled at once.
    :raises FencedError: when a newer try has written already; nothing is kept then.
    :raises BadInputError: for a number, time or type that cannot be stored; the message names its path.
    :raises TransientError: when the spool cannot keep it either; nothing is kept then.
    """
    whole = result_document(task_id, document, try_number)
    if db is None:
        return _spooled(spool, collection, whole, NOT_USABLE)
    try:
        with pymongo.timeout(TIMEOUT_S):
            write_result(db, collection, whole)
    except WriteError:
        raise  # it is this document that MongoDB does not take
    except (ServiceUnavailableError, PyMongoError) as error:
        return _spooled(spool, collection, whole, error)
    return "stored"


def keep_once(db: Database[dict[str, Any]] | None, spool: Spool, collection: str, document: Mapping[str, Any]) -> Kept:
    """Insert a row that never changes, unless one with its `_id` is there; spool it while MongoDB is away.

    :raises BadInputError: for a document without `_id`, or one that cannot be stored.
    :raises TransientError: when the spool cannot keep it either; nothing is kept then.
    """
    whole = storable(document)
    if db is None:
        return _spooled(spool, collection, whole, NOT_USABLE)
    try:
        with pymongo.timeout(TIMEOUT_S):
            insert_absent(db, collection, whole)
    except WriteError:
        raise
    except (ServiceUnavailableError, PyMongoError) as error:
        return _spooled(spool, collection, whole, error)
    return "stored"


def insert_absent(db: Database[dict[str, Any]], collection: str, document: Mapping[str, Any]) -> bool:
    """Insert a document unless one with its `_id` is there; return whether it was inserted.

    :raises ServiceUnavailableError: while MongoDB is away.
    """
    with mongo_outage(f"storing {document['_id']} in {collection}"):
        try:
            db[collection].insert_one(dict(document))
        except DuplicateKeyError as error:
            if "_id" not in (error.details or {}).get("keyPattern", {}):
                raise
            return False
    return True


def _spooled(spool: Spool, collection: str, whole: Mapping[str, Any], error: Exception | str) -> Kept:
    path = spool.append(collection, whole)
    said = excerpt(error, 500)
    log.warning("%s of %s waits in %s until MongoDB is back: %s", whole["_id"], collection, path.name, said)
    return "spooled"
