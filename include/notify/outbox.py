"""The outbox: a message is stored first, then delivered to each channel on its own.

Whatever one channel does, the others and the work that caused the message go on. Delivery is "at least
once" in one narrow case only: when the process dies between a channel's acceptance and its recording.
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from include.errors import BadInputError
from include.notify.message import Message
from include.notify.scrub import scrub
from include.store.collections import OUTBOX
from include.store.outage import mongo_outage

if TYPE_CHECKING:
    from pymongo.database import Database

log = logging.getLogger(__name__)

Sender = Callable[[Message], object]
"""Delivers one message or raises; its answer is ignored."""

CHANNEL_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
CLAIM = timedelta(minutes=5)
"""How long a delivery may take before another worker may take it over."""
MAX_ATTEMPTS = 20
"""Then a channel gives a message up: `gave_up`, with the last error."""
FAILURES_IN_A_ROW = 3
"""After so many, a channel is left alone until the next call: it is down, and each attempt may take seconds."""


@dataclass
class DeliveryReport:
    """What one round of deliveries did: channel -> how many messages; errors in words."""

    delivered: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)


def outbox_document(message: Message, channels: Sequence[str]) -> dict[str, Any]:
    """Return the message as it is stored, nothing delivered yet; `_id` is its dedupe key.

    :raises BadInputError: for a channel name that is not lower-case letters, digits and `_`.
    """
    for channel in channels:
        if not CHANNEL_NAME.fullmatch(channel):
            raise BadInputError(f"{channel!r} is no channel name; use lower-case letters, digits and _")
    fresh = {"state": "pending", "attempts": 0, "error": None, "delivered_at": None, "claimed_until": None}
    return {
        "_id": message.dedupe_key,
        **message.to_dict(),
        "state": "pending" if channels else "stored",
        "channels": {channel: dict(fresh) for channel in channels},
    }


class Outbox:
    """Messages in MongoDB, with the state of each channel: pending, sending, delivered or gave_up.

    :param now: returns aware UTC; replaced in tests.

    Methods raise :class:`include.errors.ServiceUnavailableError` while MongoDB is away.
    """

    def __init__(self, db: Database[dict[str, Any]], now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._messages = db[OUTBOX]
        self._now = now

    def put(self, message: Message, channels: Sequence[str]) -> bool:
        """Keep the message for these channels; return whether it is new.

        Under a known `dedupe_key` nothing changes, but that channels it did not have yet become pending.
        Without channels the message is kept as a record only.

        :raises BadInputError: for an impossible channel name.
        """
        document = outbox_document(message, channels)
        key = document.pop("_id")
        with mongo_outage(f"putting the message {message.title!r:.80} into the outbox"):
            try:
                answer = self._messages.update_one({"_id": key}, {"$setOnInsert": document}, upsert=True)
                is_new = answer.upserted_id is not None
            except DuplicateKeyError:
                is_new = False  # another worker put it at the same moment
            if not is_new:
                for channel, fresh in document["channels"].items():
                    self._messages.update_one(
                        {"_id": key, f"channels.{channel}": {"$exists": False}},
                        {"$set": {f"channels.{channel}": fresh, "state": "pending"}},
                    )
        return is_new

    def states(self, dedupe_key: str) -> dict[str, str]:
        """Return the state of each channel of one message; empty when there is no such message."""
        with mongo_outage("reading the outbox"):
            found = self._messages.find_one({"_id": dedupe_key}, {"channels": 1})
        return {channel: state["state"] for channel, state in found["channels"].items()} if found else {}

    def deliver_now(self, senders: Mapping[str, Sender], limit: int = 100) -> DeliveryReport:
        """Try every pending message once on each channel for which there is a sender.

        Messages that failed least often go first, then the oldest, so that one that a channel always refuses
        does not hold up the others.

        :param limit: at most so many messages per channel.
        """
        report = DeliveryReport()
        started = self._now()
        for channel, sender in senders.items():
            in_a_row = 0
            for _ in range(limit):
                claim = self._claim(channel, started)
                if claim is None:
                    break
                error = self._deliver(channel, sender, claim)
                counts = report.delivered if error is None else report.failed
                counts[channel] = counts.get(channel, 0) + 1
                in_a_row = 0 if error is None else in_a_row + 1
                if error is not None:
                    report.errors.append(f"{channel}: {error}")
                if in_a_row >= FAILURES_IN_A_ROW:
                    break
        return report

    def _claim(self, channel: str, started: datetime) -> dict[str, Any] | None:
        """Take one message that this round has not tried yet; nobody else gets it meanwhile."""
        now = self._now()
        at = f"channels.{channel}"
        waiting = {
            "$or": [{f"{at}.state": "pending"}, {f"{at}.state": "sending", f"{at}.claimed_until": {"$lte": now}}]
        }
        untried = {"$or": [{f"{at}.tried_at": {"$exists": False}}, {f"{at}.tried_at": {"$lt": started}}]}
        with mongo_outage("taking a message from the outbox"):
            return self._messages.find_one_and_update(
                {"state": "pending", "$and": [waiting, untried]},
                {
                    "$set": {
                        f"{at}.state": "sending",
                        f"{at}.claim": uuid.uuid4().hex,
                        f"{at}.claimed_until": now + CLAIM,
                        f"{at}.tried_at": now,
                    },
                    "$inc": {f"{at}.attempts": 1},
                },
                sort=[(f"{at}.attempts", 1), ("created_at", 1)],
                return_document=ReturnDocument.AFTER,
            )

    def _deliver(self, channel: str, sender: Sender, claimed: dict[str, Any]) -> str | None:
        state = claimed["channels"][channel]
        try:
            sender(Message.from_dict(claimed))
        except Exception as failure:  # noqa: BLE001 - a channel may fail in any way and must hurt nobody else
            error = scrub(f"{type(failure).__name__}: {failure}")[:500]
            log.warning("message %r could not be delivered to %s: %s", claimed["title"], channel, error)
            after = "gave_up" if state["attempts"] >= MAX_ATTEMPTS else "pending"
            self._record(claimed, channel, {"state": after, "error": error})
            return error
        self._record(claimed, channel, {"state": "delivered", "error": None, "delivered_at": self._now()})
        return None

    def _record(self, claimed: dict[str, Any], channel: str, changes: dict[str, Any]) -> None:
        at = f"channels.{channel}"
        fields = {f"{at}.{name}": value for name, value in {**changes, "claimed_until": None}.items()}
        with mongo_outage(f"recording a delivery to {channel}"):
            after = self._messages.find_one_and_update(
                {"_id": claimed["_id"], f"{at}.claim": claimed["channels"][channel]["claim"]},
                {"$set": fields},
                return_document=ReturnDocument.AFTER,
            )
            states = {state["state"] for state in after["channels"].values()} if after else set()
            if states and states <= {"delivered", "gave_up"}:
                # Only while no channel was added meanwhile, else its message would never be picked up.
                self._messages.update_one(
                    {"_id": claimed["_id"], "channels": after["channels"] if after else None},
                    {"$set": {"state": "failed" if "gave_up" in states else "delivered"}},
                )
