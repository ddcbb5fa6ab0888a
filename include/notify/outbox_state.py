"""What the outbox looks like from outside: what waits, what was given up, which channels are silent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from include.notify.channel_state import outbox_access
from include.store.collections import OUTBOX, OUTBOX_CHANNELS

if TYPE_CHECKING:
    from pymongo.database import Database

RECENT = timedelta(hours=24)
LOOK_BACK = timedelta(days=30)
"""Messages older than that were given up long ago; without a bound, every look would read half a year of them."""
MAX_TITLES = 10


@dataclass(frozen=True)
class SilentChannel:
    """A channel whose newest attempts have all failed.

    :param since: time of the first of these failures.
    :param failures: how many they are.
    :param error: the last one.
    """

    channel: str
    since: datetime
    failures: int
    error: str

    def __str__(self) -> str:
        """Return it in a line."""
        return f"{self.channel}: silent since {self.since:%Y-%m-%d %H:%M} UTC, {self.failures} failures: {self.error}"


@dataclass(frozen=True)
class OutboxState:
    """The outbox at one moment.

    :param waiting: messages that wait, by channel; channels without any are left out.
    :param oldest_at: when the oldest of them was put into the outbox.
    :param expired_24h: deliveries given up in the last 24 hours because they had waited too long.
    :param refused_24h: deliveries given up in the last 24 hours because the service refused the message.
    :param silent_channels: in alphabetical order.
    :param unheard_critical: titles of CRITICAL messages that were tried and that no channel has taken.
    """

    waiting: dict[str, int]
    oldest_at: datetime | None
    expired_24h: int
    refused_24h: int
    silent_channels: list[SilentChannel]
    unheard_critical: list[str]


def outbox_state(db: Database[dict[str, Any]], now: datetime) -> OutboxState:
    """Return the outbox's state; it reads only messages that wait, and those of a month that were given up.

    :param now: aware.
    :raises include.errors.ServiceUnavailableError: while MongoDB is away.
    """
    since = now - RECENT
    with outbox_access("looking at the outbox"):
        rows = list(db[OUTBOX].aggregate(_open_deliveries(now - LOOK_BACK)))
        unheard = db[OUTBOX].find(
            {
                "severity": "critical",
                "channels": {"$ne": {}},
                "$or": [{"state": "pending"}, {"state": "failed", "created_at": {"$gte": since}}],
            },
            {"title": 1, "channels": 1},
            sort=[("created_at", 1)],
        )
        titles = [found["title"] for found in unheard if _unheard(found["channels"])]
        failing = list(db[OUTBOX_CHANNELS].find({"failures": {"$gt": 0}, "failed_at": {"$gte": since}}).sort("_id", 1))
    pending = [row for row in rows if row["state"] == "pending"]
    waiting: dict[str, int] = {}
    for row in sorted(pending, key=lambda row: str(row["channel"])):
        waiting[row["channel"]] = waiting.get(row["channel"], 0) + 1
    given_up = [row["state"] for row in rows if (row.get("given_up_at") or row["queued_at"]) >= since]
    return OutboxState(
        waiting=waiting,
        oldest_at=min((row["queued_at"] for row in pending), default=None),
        expired_24h=given_up.count("expired"),
        refused_24h=given_up.count("refused"),
        silent_channels=[
            SilentChannel(found["_id"], found["failing_since"], found["failures"], str(found["last_error"]))
            for found in failing
            if found.get("failing_since")
        ],
        unheard_critical=titles[:MAX_TITLES],
    )


def _open_deliveries(since: datetime) -> list[dict[str, Any]]:
    """Return a pipeline: a row for each channel that has not taken its message."""
    return [
        {"$match": {"$or": [{"state": "pending"}, {"state": "failed", "queued_at": {"$gte": since}}]}},
        {
            "$project": {
                "queued_at": {"$ifNull": ["$queued_at", "$created_at"]},
                "channel": {"$objectToArray": "$channels"},
            }
        },
        {"$unwind": "$channel"},
        {"$match": {"channel.v.state": {"$in": ["pending", "expired", "refused"]}}},
        {
            "$project": {
                "_id": 0,
                "queued_at": 1,
                "channel": "$channel.k",
                "state": "$channel.v.state",
                "given_up_at": "$channel.v.given_up_at",
            }
        },
    ]


def _unheard(channels: dict[str, Any]) -> bool:
    """Return whether channels were tried and none has taken it; one that was just put is on its way."""
    tried = any(state["state"] != "pending" or state["attempts"] > 0 for state in channels.values())
    return tried and all(state["state"] != "delivered" for state in channels.values())
