"""The dead letters in MongoDB: stored once, selected, marked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from include.audit.letter import letter_id, replayed_from
from include.audit.rows import row_id
from include.errors import BadInputError
from include.store.collections import AUDIT_LOG, DEAD_LETTERS
from include.store.durable import insert_absent
from include.store.outage import mongo_outage

if TYPE_CHECKING:
    from pymongo.database import Database

REPLAYER = "replay_dead_letters"
"""The DAG that replays; it does not replay itself unless its letter is named."""


def store_letter(db: Database[dict[str, Any]], collection: str, letter: Mapping[str, Any]) -> bool:
    """Store a letter from the spool, once, with its tasks' errors and the letter it came from.

    A run that was cleared and has failed again writes its letter anew: it waits again, also where it was dismissed
    meanwhile. A letter that was replayed stays as it is: its replay is another run, with a letter of its own.

    :raises ServiceUnavailableError: while MongoDB is away.
    """
    dag_id, run_id = letter["dag_id"], letter["run_id"]
    with mongo_outage(f"storing the dead letter of {dag_id} {run_id}"):
        ids = [
            row_id(dag_id, run_id, task["task_id"], task["map_index"], task["attempts"])
            for task in letter["failed_tasks"]
        ]
        errors = {row["_id"]: row.get("error") for row in db[AUDIT_LOG].find({"_id": {"$in": ids}}, {"error": 1})}
        tasks = [
            {**task, "error": errors.get(audit_id)} for task, audit_id in zip(letter["failed_tasks"], ids, strict=True)
        ]
        parent = replayed_from(run_id)
        origin = db[collection].find_one({"_id": letter_id(dag_id, parent)}, {"_id": 1}) if parent else None
    whole = {**letter, "failed_tasks": tasks, "origin": origin["_id"] if origin else None}
    if insert_absent(db, collection, whole):
        return True
    may_wait_again = {"state": {"$in": ["waiting", "dismissed"]}, "failed_at": {"$lt": whole["failed_at"]}}
    with mongo_outage(f"storing the dead letter of {dag_id} {run_id} again"):
        return bool(db[collection].replace_one({"_id": whole["_id"], **may_wait_again}, whole).modified_count)


class DeadLetters:
    """The letters in MongoDB. All methods raise :class:`ServiceUnavailableError` while MongoDB is away."""

    def __init__(self, db: Database[dict[str, Any]]) -> None:
        self._letters = db[DEAD_LETTERS]

    def select(self, ids: list[str], dag_id: str, since: datetime | None, limit: int) -> list[dict[str, Any]]:
        """Return the letters that are asked for, oldest failure first.

        :param ids: these very letters, in any state; empty: every waiting one that matches the rest.
        :raises BadInputError: naming the ids of which there is no letter, or when more than `limit` match.
        """
        query: dict[str, Any] = {"_id": {"$in": ids}} if ids else {"state": "waiting", "dag_id": {"$ne": REPLAYER}}
        if dag_id:
            query["$and"] = [{"dag_id": dag_id}]
        if since is not None:
            query["failed_at"] = {"$gte": since}
        with mongo_outage("reading the dead letters"):
            found = list(self._letters.find(query).sort([("failed_at", 1), ("_id", 1)]).limit(limit + 1))
        missing = sorted(set(ids) - {letter["_id"] for letter in found})
        if missing and len(found) <= limit:
            raise BadInputError(f"no dead letter matches {', '.join(missing)}: ids are <dag_id>:<run_id>")
        if len(found) > limit:
            raise BadInputError(f"more than {limit} dead letters match: narrow it down with dag_id, since or ids")
        return found

    def mark_replayed(self, letter: str, run_id: str, by: str, now: datetime) -> bool:
        """Note the run that replays a letter; False when it was noted already (or the letter is gone)."""
        with mongo_outage(f"marking the dead letter {letter}"):
            return bool(
                self._letters.update_one(
                    {"_id": letter, "state": {"$ne": "replayed"}},
                    {"$set": {"state": "replayed", "replay_run_id": run_id, "replayed_by": by, "replayed_at": now}},
                ).modified_count
            )

    def dismiss(self, letter: str, why: str, now: datetime) -> bool:
        """Take a letter off the waiting ones, for instance because its own run has been repeated; say why."""
        with mongo_outage(f"dismissing the dead letter {letter}"):
            return bool(
                self._letters.update_one(
                    {"_id": letter, "state": "waiting"},
                    {"$set": {"state": "dismissed", "dismissed_at": now, "dismissed_because": why}},
                ).modified_count
            )
