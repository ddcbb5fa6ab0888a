"""Claims that expire by themselves: who is training what, who used which quota.

A lease is one document (`_id` = key) and is taken, renewed and taken over by one atomic write each, on the
clock of the database server, so that neither a killed worker nor a wrong clock of a host holds one for ever.
Every taking draws a new token; whoever holds an older token is fenced off.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from include.errors import BadInputError, FencedError, LeaseHeldError, TransientError
from include.store.collections import LEASES
from include.store.outage import mongo_outage

if TYPE_CHECKING:
    from pymongo.database import Database

MAX_ROUNDS = 20
"""How often an acquisition starts over because others changed the lease in between."""


@dataclass(frozen=True)
class Owner:
    """The run that claims something."""

    dag_id: str
    run_id: str


@dataclass(frozen=True)
class Lease:
    """A claim as it was when it was taken, renewed or looked up; times are aware UTC, of the database server."""

    key: str
    owner: Owner
    try_number: int
    token: str
    label: str
    ttl_s: float
    acquired_at: datetime
    expires_at: datetime
    retaken: bool
    """Whether the same run held it already when it was taken."""


class LeaseStore:
    """The leases of one database.

    All methods raise :class:`~include.errors.ServiceUnavailableError` while MongoDB is away.
    """

    def __init__(self, db: Database[dict[str, Any]]) -> None:
        self._leases = db[LEASES]

    def acquire(
        self,
        key: str,
        owner: Owner,
        try_number: int,
        ttl_s: float,
        owner_is_over: Callable[[Owner], bool] | None = None,
        *,
        label: str | None = None,
    ) -> Lease:
        """Take a lease that is free, expired, already this run's, or held by a run that is over.

        The same run may take it again with an equal or higher try number (its earlier holder is fenced off then).
        Try numbers are compared within a run, so all takers of a run have to count the same thing.

        :param key: what is claimed, for instance `train:lstm:BTCUSDT`.
        :param ttl_s: seconds until it expires unless it is renewed.
        :param owner_is_over: asked about the holder of a live lease of another run; `True` takes it over.
        :param label: the message for whoever is refused because of *this* acquisition's key, for instance
            `Training already in progress for lstm+BTCUSDT`.
        :raises LeaseHeldError: another run holds it; the message is the label, a note names the holder.
        :raises FencedError: a newer try of the same run holds it.
        """
        if not key or try_number < 0 or not 0 < ttl_s < 10**9:
            raise BadInputError(
                f"a lease needs a key, a try number and a positive time: {key!r}, {try_number}, {ttl_s}"
            )
        token = uuid.uuid4().hex
        text = label or f"{key} is claimed already"
        for _ in range(MAX_ROUNDS):
            lease = self._take(key, owner, try_number, ttl_s, token, text)
            if lease.token == token:
                return lease
            if lease.owner == owner:
                raise FencedError(
                    f"try {lease.try_number} of {owner.dag_id} run {owner.run_id} holds {key}: "
                    f"try {try_number} must not go on"
                )
            if owner_is_over is None or not owner_is_over(lease.owner):
                error = LeaseHeldError(text)
                error.add_note(
                    f"{key} is held by {lease.owner.dag_id} run {lease.owner.run_id} (try {lease.try_number}) until "
                    f"{lease.expires_at.isoformat()} unless it renews; wait for that run or cancel it"
                )
                raise error
            # Only this very claim is removed: one that somebody else took meanwhile has another token.
            self.release(lease)
        raise TransientError(f"{key} changed hands {MAX_ROUNDS} times while it was being claimed; try again")

    def acquire_all(
        self,
        keys: Sequence[str],
        owner: Owner,
        try_number: int,
        ttl_s: float,
        owner_is_over: Callable[[Owner], bool] | None = None,
        *,
        label: Callable[[str], str] | None = None,
    ) -> list[Lease]:
        """Take all leases or none; returned in the order of the keys.

        When one is refused, those that were taken by this call are released (but not those that the run held
        before it) and the refusal is raised.

        :param label: makes the message of a refused key.
        """
        taken: dict[str, Lease] = {}
        try:
            for key in sorted(set(keys)):
                taken[key] = self.acquire(
                    key, owner, try_number, ttl_s, owner_is_over, label=label(key) if label else None
                )
        except BaseException:
            for lease in taken.values():
                if not lease.retaken:
                    self.release(lease)
            raise
        return [taken[key] for key in keys]

    def renew(self, lease: Lease, ttl_s: float | None = None) -> Lease:
        """Push the expiry out to now plus the lease's (or another) time; an expired one nobody took is revived.

        :raises FencedError: when somebody else took it, or it was released.
        """
        ttl_s = lease.ttl_s if ttl_s is None else ttl_s
        with mongo_outage(f"renewing the claim on {lease.key}"):
            document = self._leases.find_one_and_update(
                {"_id": lease.key, "token": lease.token},
                [{"$set": {"ttl_s": ttl_s, "expires_at": _from_now(ttl_s)}}],
                return_document=ReturnDocument.AFTER,
            )
        if document is None:
            raise self._lost(lease)
        return _lease(document)

    def check(self, lease: Lease) -> None:
        """Make sure that the lease is still this holder's, before something is written under its protection.

        One that expired and that nobody took over counts as held: only a taking hands out a new token.

        :raises FencedError: when it was taken over or released.
        """
        with mongo_outage(f"checking the claim on {lease.key}"):
            held = self._leases.find_one({"_id": lease.key, "token": lease.token}, {"_id": 1})
        if held is None:
            raise self._lost(lease)

    def release(self, lease: Lease) -> bool:
        """Give the lease back; `False` when it was not this holder's any more (then nothing changes)."""
        with mongo_outage(f"releasing the claim on {lease.key}"):
            return bool(self._leases.delete_one({"_id": lease.key, "token": lease.token}).deleted_count)

    def release_run(self, owner: Owner) -> int:
        """Give back everything a run holds, once it is over; return how many leases that were."""
        with mongo_outage(f"releasing the claims of run {owner.run_id}"):
            result = self._leases.delete_many({"owner.run_id": owner.run_id, "owner.dag_id": owner.dag_id})
        return result.deleted_count

    def holder(self, key: str) -> Lease | None:
        """Return the live lease on a key, or `None` when it is free or expired."""
        with mongo_outage(f"looking up the claim on {key}"):
            document = self._leases.find_one({"_id": key, "$expr": {"$gt": ["$expires_at", "$$NOW"]}})
        return None if document is None else _lease(document)

    def all(self) -> list[Lease]:
        """Return every lease, expired ones included, by key (for the sweeper)."""
        with mongo_outage("listing the claims"):
            return [_lease(document) for document in self._leases.find().sort("_id", 1)]

    def _take(self, key: str, owner: Owner, try_number: int, ttl_s: float, token: str, label: str) -> Lease:
        """Write the claim if the lease may be taken; return the lease as it is afterwards, whoever holds it."""
        mine = {"$literal": {"dag_id": owner.dag_id, "run_id": owner.run_id}}
        same_run = {"$eq": ["$owner", mine]}
        live = {"$gt": ["$expires_at", "$$NOW"]}  # a missing field is below every date
        newer_try = {"$gt": ["$try_number", try_number]}
        # A lower try is fenced even after the expiry: it is the older process of a run that went on.
        refused = {"$cond": [same_run, newer_try, live]}
        claim = {
            "_id": "$_id",
            "owner": mine,
            "try_number": try_number,
            "token": token,
            "label": {"$literal": label},
            "ttl_s": ttl_s,
            "acquired_at": "$$NOW",
            "expires_at": _from_now(ttl_s),
            "retaken": same_run,
        }
        update = [{"$replaceWith": {"$cond": [refused, "$$ROOT", claim]}}]
        with mongo_outage(f"claiming {key}"):
            for _ in range(MAX_ROUNDS):
                try:
                    document = self._leases.find_one_and_update(
                        {"_id": key}, update, upsert=True, return_document=ReturnDocument.AFTER
                    )
                except DuplicateKeyError:  # two upserts of a new key met; the next round finds the document
                    continue
                if document is not None:
                    return _lease(document)
        raise TransientError(f"{key} changed hands {MAX_ROUNDS} times while it was being claimed; try again")

    def _lost(self, lease: Lease) -> FencedError:
        with mongo_outage(f"looking up the claim on {lease.key}"):
            document = self._leases.find_one({"_id": lease.key})
        if document is None:
            reason = "was released or swept away"
        else:
            now = _lease(document)
            reason = f"is held by {now.owner.dag_id} run {now.owner.run_id} try {now.try_number} now"
        return FencedError(
            f"the claim on {lease.key} of {lease.owner.dag_id} run {lease.owner.run_id} try {lease.try_number} "
            f"{reason}: this process must not write any more"
        )


def _from_now(seconds: float) -> dict[str, Any]:
    return {"$add": ["$$NOW", round(seconds * 1000)]}


def _lease(document: dict[str, Any]) -> Lease:
    return Lease(
        key=document["_id"],
        owner=Owner(**document["owner"]),
        try_number=document["try_number"],
        token=document["token"],
        label=document["label"],
        ttl_s=document["ttl_s"],
        acquired_at=document["acquired_at"],
        expires_at=document["expires_at"],
        retaken=document["retaken"],
    )
