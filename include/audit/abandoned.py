"""Finishes audit rows that nobody finished: their task was killed, and so was what would have told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from include.audit.collect import KILLED, KILLED_ERROR
from include.audit.rows import START
from include.store.collections import AUDIT_LOG
from include.store.leases import Owner
from include.store.outage import mongo_outage

if TYPE_CHECKING:
    from pymongo.database import Database

MIN_AGE = timedelta(minutes=10)
"""A row that says the end may be on its way for so long."""
MAX_RUNS = 500
"""Runs that one call asks about; the next call goes on."""


def finish_abandoned(db: Database[dict[str, Any]], owner_is_over: Callable[[Owner], bool], now: datetime) -> int:
    """Mark rows `killed` that still say `running` although their run is over; return how many.

    A task's own word, when it still comes, overwrites that.

    :raises ServiceUnavailableError: while MongoDB is away.
    """
    open_rows = {"state": "running", "source": START, "started_at": {"$lt": now - MIN_AGE}}
    finished = 0
    with mongo_outage("finishing abandoned audit rows"):
        runs = list(
            db[AUDIT_LOG].aggregate(
                [
                    {"$match": open_rows},
                    {"$group": {"_id": {"dag_id": "$dag_id", "run_id": "$run_id"}}},
                    {"$limit": MAX_RUNS},
                ]
            )
        )
        for run in runs:
            if owner_is_over(Owner(**run["_id"])):
                changes = {"$set": {"state": KILLED, "error": KILLED_ERROR}}
                finished += db[AUDIT_LOG].update_many({**open_rows, **run["_id"]}, changes).modified_count
    return finished
