"""What is known of each channel: who is delivering to it, whether it works, and when to try again.

Only who holds the claim on a channel delivers to it, so that no message overtakes an older one. A claim expires by
itself; the hosts' clocks have to agree to a few seconds.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pymongo
from pymongo import ReturnDocument

from include.notify.attempt import Outcome
from include.notify.errors import LONGEST_WAIT_S
from include.store.collections import OUTBOX_CHANNELS
from include.store.outage import mongo_outage

if TYPE_CHECKING:
    from pymongo.database import Database

CLAIM = timedelta(seconds=30)
"""Renewed before each attempt, which takes 12 s at most, and its recording 10 s."""
FIRST_BACKOFF_S = 10.0
LONGEST_BACKOFF_S = 300.0
CLOCKS_APART_S = 30.0
"""So far two hosts' clocks may be apart; a time that lies further ahead than it can comes from one that was wrong."""
MONGO_TIMEOUT_S = 5.0
"""A MongoDB that hangs must not keep an alert from its channels."""


@contextmanager
def outbox_access(action: str) -> Iterator[None]:
    """Bound what the outbox does in MongoDB; :raises ServiceUnavailableError: when it is away or does not answer."""
    with mongo_outage(action), pymongo.timeout(MONGO_TIMEOUT_S):
        yield


def backoff_s(failures: int) -> float:
    """Return how long a channel is left alone after so many failures in a row: 10 s, 20 s, ... 300 s."""
    return float(min(FIRST_BACKOFF_S * 2 ** min(failures - 1, 20), LONGEST_BACKOFF_S))


@dataclass(frozen=True)
class Claim:
    """The right to deliver to a channel."""

    channel: str
    token: str


@dataclass(frozen=True)
class ChannelState:
    """A channel as it stands.

    :param next_try_at: not before, after a failure; None: at any time.
    :param asked_to_wait: whether the service itself has named that time.
    """

    next_try_at: datetime | None
    asked_to_wait: bool

    def pause_s(self, now: datetime, hurry: bool) -> float:
        """Return the seconds until the next attempt; in a hurry only what the service asks for counts.

        A time further away than any pause was noted by a clock that has been set back since: it counts for nothing.
        """
        if self.next_try_at is None or (hurry and not self.asked_to_wait):
            return 0.0
        pause_s = (self.next_try_at - now).total_seconds()
        return pause_s if 0 < pause_s <= LONGEST_WAIT_S + CLOCKS_APART_S else 0.0


class ChannelStates:
    """The channels of one database.

    All methods raise :class:`include.errors.ServiceUnavailableError` while MongoDB is away.
    """

    def __init__(self, db: Database[dict[str, Any]], now: Callable[[], datetime]) -> None:
        self._channels = db[OUTBOX_CHANNELS]
        self._now = now

    def claim(self, channel: str) -> Claim | None:
        """Take the channel; None while somebody else delivers to it."""
        claim, now = Claim(channel, uuid.uuid4().hex), self._now()
        set_back = {"claimed_until": {"$gt": now + CLAIM + timedelta(seconds=CLOCKS_APART_S)}}
        with outbox_access(f"taking the channel {channel}"):
            fresh = {"claim": None, "claimed_until": None, "next_try_at": None, "failures": 0}
            self._channels.update_one({"_id": channel}, {"$setOnInsert": fresh}, upsert=True)
            taken = self._channels.update_one(
                {"_id": channel, "$or": [{"claim": None}, {"claimed_until": {"$lte": now}}, set_back]},
                {"$set": {"claim": claim.token, "claimed_until": now + CLAIM}},
            )
        return claim if taken.matched_count else None

    def renew(self, claim: Claim) -> ChannelState | None:
        """Keep the claim for another attempt and return the channel's state; None when somebody else has it now."""
        with outbox_access(f"keeping the channel {claim.channel}"):
            held = self._channels.find_one_and_update(
                {"_id": claim.channel, "claim": claim.token},
                {"$set": {"claimed_until": self._now() + CLAIM}},
                return_document=ReturnDocument.AFTER,
            )
        return ChannelState(held["next_try_at"], bool(held.get("asked_to_wait"))) if held else None

    def release(self, claim: Claim) -> None:
        """Give the channel back."""
        with outbox_access(f"releasing the channel {claim.channel}"):
            self._channels.update_one(
                {"_id": claim.channel, "claim": claim.token}, {"$set": {"claim": None, "claimed_until": None}}
            )

    def note(self, claim: Claim, outcome: Outcome) -> None:
        """Note an outcome: an answer to a message, also a refusal, shows that the channel works."""
        now = self._now()
        with outbox_access(f"noting the state of the channel {claim.channel}"):
            if outcome.state != "pending":
                works = {"failures": 0, "next_try_at": None, "asked_to_wait": False, "failing_since": None}
                self._channels.update_one(
                    {"_id": claim.channel}, {"$set": {**works, "last_error": None, "answered_at": now}}
                )
                return
            held = self._channels.find_one_and_update(
                {"_id": claim.channel},
                {"$inc": {"failures": 1}, "$set": {"last_error": outcome.error, "failed_at": now}},
                return_document=ReturnDocument.AFTER,
            )
            if held is None:
                return
            asked = outcome.retry_after_s is not None
            wait_s = outcome.retry_after_s if outcome.retry_after_s is not None else backoff_s(held["failures"])
            since = held.get("failing_since") or now
            next_try_at = now + timedelta(seconds=wait_s)
            self._channels.update_one(
                {"_id": claim.channel},
                {"$set": {"next_try_at": next_try_at, "asked_to_wait": asked, "failing_since": since}},
            )
