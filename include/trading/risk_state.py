"""What the risk watch has said already, so that an unchanged situation is said once an hour and not at every check.

Saying is two steps, so that a crash between them repeats the message under the same key instead of losing it: ask
:func:`due`, send under a key that holds its number, then :func:`said`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from include.store.collections import RISK_STATE
from include.store.outage import mongo_outage

if TYPE_CHECKING:
    from pymongo.database import Database


def due(db: Database[dict[str, Any]], key: str, situation: str, now: datetime, repeat_s: float) -> int | None:
    """Return the number under which to say it now, or None: it was said, has not changed, and is not old enough.

    :param key: what it is about, for instance `book`.
    :param situation: equal as long as nothing has changed.
    :param now: aware UTC.
    :raises include.errors.ServiceUnavailableError: while MongoDB is away.
    """
    with mongo_outage(f"reading what was said about {key}"):
        before = db[RISK_STATE].find_one({"_id": key})
    if before is None:
        return 1
    repeated = before["situation"] == situation and now - before["said_at"] < timedelta(seconds=repeat_s)
    return None if repeated else int(before["number"]) + 1


def said(db: Database[dict[str, Any]], key: str, situation: str, number: int, now: datetime) -> None:
    """Remember that it was said under that number."""
    with mongo_outage(f"recording what was said about {key}"):
        before = db[RISK_STATE].find_one({"_id": key})
        since = now if before is None or before["over"] else before["since"]
        row = {"situation": situation, "said_at": now, "number": number, "since": since, "over": False}
        db[RISK_STATE].replace_one({"_id": key}, row, upsert=True)


def over(db: Database[dict[str, Any]], key: str) -> datetime | None:
    """Note that it is over; return since when it had been said, None where it had not been."""
    with mongo_outage(f"recording that {key} is over"):
        before = db[RISK_STATE].find_one_and_update(
            {"_id": key, "over": {"$ne": True}}, {"$set": {"over": True, "situation": ""}}
        )
    since: datetime | None = None if before is None else before["since"]
    return since
