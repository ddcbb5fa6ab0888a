"""The outbox: a message is stored first, then delivered to each channel on its own.

Whatever one channel does, the others and the work that caused the message go on. In a channel nothing overtakes an
older message, but for one that keeps failing while the messages behind it are taken (see `channel_round`).

A message is sent twice in these cases only: a service accepts it and its answer does not arrive; the process dies
between a channel's acceptance and the note of it; a sender stands still for longer than its claim on the channel holds.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pymongo.errors import DuplicateKeyError, PyMongoError

from include.errors import BadInputError, ServiceUnavailableError
from include.notify.attempt import DEADLINE_S, Outcome, Sender
from include.notify.channel_round import Round
from include.notify.channel_state import CLOCKS_APART_S, ChannelStates, outbox_access
from include.notify.message import Message
from include.store.collections import OUTBOX

if TYPE_CHECKING:
    from pymongo.database import Database

    from include.notify.receipts import Receipts

log = logging.getLogger(__name__)

CHANNEL_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
EXPIRES_AFTER = timedelta(hours=72)
BUDGET_S = 15.0
"""No attempt is begun later: the last one ends within 27 s of the message."""
POSTPONED = timedelta(hours=1)
"""So long a message that the channel does not take is left out, and the others go on."""


@dataclass
class DeliveryReport:
    """What one round of deliveries did: channel -> how many messages; errors in words.

    :param outcomes: (dedupe key, channel) -> the outcome of the last attempt, also where it could not be recorded.
    :param outage: the error for which MongoDB could not be used, None when all went well.
    """

    delivered: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    expired: dict[str, int] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    outcomes: dict[tuple[str, str], Outcome] = field(default_factory=dict)
    outage: Exception | None = None

    def add(self, channel: str, key: str, outcome: Outcome) -> None:
        """Count an attempt."""
        counts = {"delivered": self.delivered, "refused": self.refused}.get(outcome.state, self.failed)
        counts[channel] = counts.get(channel, 0) + 1
        self.outcomes[key, channel] = outcome
        if outcome.error is not None:
            self.errors.append(f"{channel}: {outcome.error}")


def outbox_document(message: Message, channels: Sequence[str], queued_at: datetime | None = None) -> dict[str, Any]:
    """Return the message as it is stored, nothing delivered yet; `_id` is its dedupe key.

    :param queued_at: since when it waits, aware; now when omitted.
    :raises BadInputError: for a channel name that is not lower-case letters, digits and `_`.
    """
    for channel in channels:
        if not CHANNEL_NAME.fullmatch(channel):
            raise BadInputError(f"{channel!r} is no channel name; use lower-case letters, digits and _")
    return {
        "_id": message.dedupe_key,
        **message.to_dict(),
        "state": "pending" if channels else "stored",
        "queued_at": queued_at or datetime.now(UTC),
        "channels": {channel: _fresh() for channel in channels},
    }


def _fresh() -> dict[str, Any]:
    return {"state": "pending", "attempts": 0, "error": None, "delivered_at": None}


class Outbox:
    """Messages in MongoDB, with the state of each channel: pending, delivered, refused or expired.

    :param now: returns aware UTC; replaced in tests.
    :param receipts: notes of what was accepted and could not be recorded.
    :param expires_after: what a channel has not taken by then is given up for it.

    Methods raise :class:`include.errors.ServiceUnavailableError` while MongoDB is away, but for `deliver_due`.
    """

    def __init__(
        self,
        db: Database[dict[str, Any]],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        receipts: Receipts | None = None,
        expires_after: timedelta = EXPIRES_AFTER,
    ) -> None:
        self._messages = db[OUTBOX]
        self._states = ChannelStates(db, now)
        self._now = now
        self._receipts = receipts
        self._expires_after = expires_after

    def put(self, message: Message, channels: Sequence[str]) -> bool:
        """Keep the message for these channels; return whether it is new.

        Under a known `dedupe_key` nothing changes, but that channels it did not have yet become pending.
        Without channels the message is kept as a record only.

        :raises BadInputError: for an impossible channel name.
        """
        document = outbox_document(message, channels, self._now())
        key = document.pop("_id")
        with outbox_access(f"putting the message {message.title!r:.80} into the outbox"):
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
        with outbox_access("reading the outbox"):
            found = self._messages.find_one({"_id": dedupe_key}, {"channels": 1})
        return {channel: state["state"] for channel, state in found["channels"].items()} if found else {}

    def waits(self, dedupe_key: str, channel: str) -> bool:
        """Return whether a message still waits for a channel."""
        with outbox_access("reading the outbox"):
            return self._messages.count_documents({"_id": dedupe_key, f"channels.{channel}.state": "pending"}) > 0

    def next_waiting(self, channel: str, but_for: Collection[str] = ()) -> dict[str, Any] | None:
        """Return the oldest message that waits for the channel and is not postponed there.

        :param but_for: dedupe keys of messages that are left out.
        """
        now, at = self._now(), f"channels.{channel}"
        # A time beyond that was noted by a clock that has been set back since.
        postponed = {"$gt": now, "$lte": now + POSTPONED + timedelta(seconds=CLOCKS_APART_S)}
        query = {"state": "pending", f"{at}.state": "pending", f"{at}.not_before": {"$not": postponed}}
        if but_for:
            query["_id"] = {"$nin": list(but_for)}
        with outbox_access("reading the outbox"):
            return self._messages.find_one(query, sort=[("created_at", 1), ("_id", 1)])

    def postpone(self, dedupe_key: str, channel: str) -> None:
        """Leave a message out of the channel's turns for an hour: it fails, and those behind it are taken."""
        at = f"channels.{channel}"
        with outbox_access(f"postponing a message for {channel}"):
            self._messages.update_one(
                {"_id": dedupe_key, f"{at}.state": "pending"}, {"$set": {f"{at}.not_before": self._now() + POSTPONED}}
            )

    def deliver_due(
        self,
        senders: Mapping[str, Sender],
        limit: int = 100,
        *,
        until: str | None = None,
        hurry: bool = False,
        budget_s: float = BUDGET_S,
    ) -> DeliveryReport:
        """Deliver what is due to each channel for which there is a sender, all channels at the same time.

        A channel's messages go in order, the oldest first; the first failure ends the channel's turn, and the channel
        is left alone for a while that grows from failure to failure. A refused message lets the next one pass.
        What has waited too long expires. A channel that another worker delivers to is left to that one.

        :param limit: at most so many messages per channel.
        :param until: dedupe key of a message: stop once it is settled, and wait for a worker that is before us.
        :param hurry: try also a channel that is left alone after a failure, unless the service has asked for it.
        :param budget_s: seconds after which no attempt is begun.
        :return: the report; while MongoDB is away it says so in `outage` instead of raising.
        """
        report = DeliveryReport()
        try:
            self._expire(report)
        except (ServiceUnavailableError, PyMongoError) as error:
            report.outage = error
            return report
        end = time.monotonic() + budget_s
        rounds = [
            Round(channel, sender, self, self._states, self._receipts, self._now, limit, until, hurry, end)
            for channel, sender in senders.items()
        ]
        threads = [threading.Thread(target=each.run, name=f"outbox-{each.channel}", daemon=True) for each in rounds]
        for thread in threads:
            thread.start()
        for thread in threads:  # daemons: what hangs beyond all time-outs is left behind, not waited for
            thread.join(max(0.0, end + DEADLINE_S + 1 - time.monotonic()))
        for each in rounds:
            for key, outcome in list(each.outcomes):
                report.add(each.channel, key, outcome)
            report.outage = report.outage or each.outage
        return report

    def record(self, document: Mapping[str, Any], channel: str, outcome: Outcome) -> None:
        """Record what came of an attempt, unless the channel is settled for this message already."""
        at, now = f"channels.{channel}", self._now()
        changes: dict[str, Any] = {f"{at}.state": outcome.state, f"{at}.error": outcome.error, f"{at}.tried_at": now}
        if outcome.remark:
            changes[f"{at}.remark"] = outcome.remark
        if outcome.state == "delivered":
            changes[f"{at}.delivered_at"] = now
        self._settle(document["_id"], channel, outcome.state, changes, attempts=1)

    def _expire(self, report: DeliveryReport) -> None:
        """Give up, channel by channel, what has waited too long; also for channels that nobody sends to any more."""
        late = self._now() - self._expires_after
        hours = self._expires_after.total_seconds() / 3600
        with outbox_access("looking for expired messages"):
            expired = list(
                self._messages.find({"state": "pending", "queued_at": {"$lte": late}}, {"channels": 1, "title": 1})
            )
        for document in expired:
            for channel, state in document["channels"].items():
                if state["state"] != "pending":
                    continue
                error = f"given up after {hours:g} h; the last error: {state['error'] or 'none, it was never tried'}"
                changes = {f"channels.{channel}.state": "expired", f"channels.{channel}.error": error}
                if self._settle(document["_id"], channel, "expired", changes):
                    report.expired[channel] = report.expired.get(channel, 0) + 1
                    log.error("message %r was not delivered to %s: %s", document["title"], channel, error)

    def _settle(self, key: str, channel: str, state: str, changes: dict[str, Any], attempts: int = 0) -> bool:
        """Change a channel that is pending for a message, and the state of the whole with it, in one write."""
        at = f"channels.{channel}"
        if state in ("refused", "expired"):
            changes = {**changes, f"{at}.given_up_at": self._now(), "unsaid": True}
        fields: dict[str, Any] = {name: {"$literal": value} for name, value in changes.items()}
        if attempts:
            fields[f"{at}.attempts"] = {"$add": [{"$ifNull": [f"${at}.attempts", 0]}, attempts]}
        with outbox_access(f"recording a delivery to {channel}"):
            settled = self._messages.update_one(
                {"_id": key, f"{at}.state": "pending"}, [{"$set": fields}, {"$set": {"state": WHOLE_STATE}}]
            )
        return settled.matched_count > 0


_STATES = {"$map": {"input": {"$objectToArray": "$channels"}, "in": "$$this.v.state"}}
WHOLE_STATE = {
    "$switch": {
        "branches": [
            {"case": {"$in": ["pending", _STATES]}, "then": "pending"},
            {"case": {"$setIsSubset": [_STATES, ["delivered"]]}, "then": "delivered"},
        ],
        "default": "failed",
    }
}
"""The state of a message as an expression over its channels."""
