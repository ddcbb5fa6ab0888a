"""Stores what waits in the spool, in order, each document exactly once."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymongo
from bson.errors import BSONError
from pymongo.errors import DocumentTooLarge, PyMongoError, WriteError

from include.errors import IntegrityError, TransientError
from include.notify.scrub import excerpt, scrub
from include.store import durable
from include.store.merge import merge

if TYPE_CHECKING:
    from pymongo.database import Database

    from include.store.spool import Spool

log = logging.getLogger(__name__)

DAMAGED = "damaged"
"""Subfolder of the spool for files that cannot be read; a person looks at them."""
NEVER_TAKEN = (WriteError, DocumentTooLarge, BSONError, KeyError, TypeError, AttributeError, ValueError, OverflowError)
"""What storing a document raises where trying again cannot help; ValueError: also a half character."""


@dataclass(frozen=True)
class ReplayReport:
    """What one replay did.

    :param replayed: documents stored now.
    :param superseded: documents that were stored already, or that a newer one has replaced.
    :param waiting: documents that still wait, because of `problem`.
    :param damaged: names of the files moved to the subfolder `damaged` by this replay.
    :param problem: why the replay stopped, None when it went through.
    """

    replayed: int
    superseded: int
    waiting: int
    damaged: tuple[str, ...]
    problem: str | None = None


def replay(spool: Spool, db: Database[dict[str, Any]]) -> ReplayReport:
    """Store every waiting document, the oldest first; a file is removed once its document is stored.

    It stops where MongoDB goes away or refuses us (`problem` says so) and may be called again at any time, also twice
    at once. A damaged file, or a document that MongoDB will never take (too large, a broken name), is set aside; the
    rest goes on.

    :raises include.errors.TransientError: when the spool's folder cannot be read, or damaged files cannot be moved.
    """
    replayed, superseded = 0, 0
    damaged: list[str] = []
    waiting = spool.pending()
    for done, path in enumerate(waiting):
        try:
            changed = _replay_one(spool, path, db)
        except FileNotFoundError:  # another replay was faster
            continue
        except IntegrityError as error:
            log.error("%s", error)
            if spool.set_aside(path, DAMAGED):
                damaged.append(path.name)
            continue
        except (TransientError, PyMongoError) as error:
            return ReplayReport(replayed, superseded, len(waiting) - done, tuple(damaged), scrub(str(error)))
        replayed, superseded = replayed + changed, superseded + (not changed)
    return ReplayReport(replayed, superseded, 0, tuple(damaged))


def _replay_one(spool: Spool, path: Path, db: Database[dict[str, Any]]) -> bool:
    spooled = spool.read(path)
    try:
        with pymongo.timeout(durable.TIMEOUT_S):
            changed = merge(db, spooled.collection, spooled.document)
    except NEVER_TAKEN as error:
        raise IntegrityError(
            f"{path} cannot be stored in {spooled.collection} ({type(error).__name__}: {excerpt(error)}): "
            f"it is moved to {DAMAGED}; look at it"
        ) from error
    spool.remove(path)
    return changed
