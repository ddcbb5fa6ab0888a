"""How a spooled document is stored without doubling, overwriting or undoing anything: one rule per collection.

Every rule may be applied again, by two replays at the same time, and to a document that was stored after all before its
writer saw MongoDB go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pymongo.errors import DuplicateKeyError

from include.audit.dead_letters import store_letter
from include.errors import TransientError
from include.store.collections import DEAD_LETTERS, OUTBOX
from include.store.durable import insert_absent
from include.store.outage import mongo_outage

if TYPE_CHECKING:
    from pymongo.database import Database

MAX_ROUNDS = 20

Merge = Callable[["Database[dict[str, Any]]", str, Mapping[str, Any]], bool]
"""Stores a document; returns whether anything changed. Raises ServiceUnavailableError while MongoDB is away."""


def merge(db: Database[dict[str, Any]], collection: str, document: Mapping[str, Any]) -> bool:
    """Store a spooled document by its collection's rule; return whether anything changed.

    A run's result gives way to a newer one, a message's deliveries only advance, anything else is inserted once.

    :raises include.errors.ServiceUnavailableError: while MongoDB is away.
    """
    if collection in RULES:
        return RULES[collection](db, collection, document)
    if "try_number" in document and "stored_at" in document:
        return merge_result(db, collection, document)
    return insert_absent(db, collection, document)


def merge_result(db: Database[dict[str, Any]], collection: str, document: Mapping[str, Any]) -> bool:
    """Store a run's result unless a newer try, or a later document of the same try, is there already."""
    newer = {
        "$or": [
            {"try_number": {"$gt": document["try_number"]}},
            # The very same document, changed since, has the same time.
            {"try_number": document["try_number"], "stored_at": {"$gte": document["stored_at"]}},
        ]
    }
    with mongo_outage(f"replaying the result of run {document['_id']} in {collection}"):
        for _ in range(MAX_ROUNDS):
            try:
                db[collection].replace_one({"_id": document["_id"], "$nor": [newer]}, document, upsert=True)
                return True
            except DuplicateKeyError as error:
                if "_id" not in (error.details or {}).get("keyPattern", {}):
                    raise
                if db[collection].count_documents({"_id": document["_id"], **newer}, limit=1):
                    return False
    raise _restless(collection, document)


RANK = {"pending": 0, "delivered": 2}
"""Which of two states of a channel is further on; any other state (expired, refused ...) ends it without delivery."""
ENDED = 1


def merge_message(db: Database[dict[str, Any]], collection: str, document: Mapping[str, Any]) -> bool:
    """Insert a message, or advance the channels of the stored one; delivered wins, nothing becomes pending again."""
    with mongo_outage(f"replaying message {document['_id']} in {collection}"):
        for _ in range(MAX_ROUNDS):
            if insert_absent(db, collection, document):
                return True
            stored = db[collection].find_one({"_id": document["_id"]}, {"channels": 1, "state": 1})
            if stored is None:
                continue
            changes = _advanced(stored["channels"], document["channels"])
            if not changes:
                return False
            channels = {**stored["channels"], **changes}
            whole = _whole_state(channels, stored["state"])
            update: dict[str, Any] = {"channels": channels, "state": whole}
            if any(_rank(state) == ENDED for state in changes.values()):
                update["unsaid"] = True  # somebody has to hear that a channel did not take it
            unchanged = {"_id": document["_id"], "channels": stored["channels"], "state": stored["state"]}
            if db[collection].update_one(unchanged, {"$set": update}).matched_count:
                return True
    raise _restless(collection, document)


def _advanced(stored: Mapping[str, Any], spooled: Mapping[str, Any]) -> dict[str, Any]:
    """Return the channels whose spooled state is further on than the stored one, or that are not stored."""
    return {
        channel: state
        for channel, state in spooled.items()
        if channel not in stored or _rank(state) > _rank(stored[channel])
    }


def _rank(channel: Mapping[str, Any]) -> int:
    return RANK.get(channel["state"], ENDED)


def _whole_state(channels: Mapping[str, Any], before: str) -> str:
    """Return the state of the message as a whole: pending while a channel waits, delivered when all have it."""
    states = {channel["state"] for channel in channels.values()}
    if "pending" in states:
        return "pending"
    return "delivered" if states == {"delivered"} else (before if before != "pending" else "failed")


def _restless(collection: str, document: Mapping[str, Any]) -> TransientError:
    return TransientError(f"{document['_id']} of {collection} is being rewritten all the time; it is replayed later")


RULES: dict[str, Merge] = {OUTBOX: merge_message, DEAD_LETTERS: store_letter}
