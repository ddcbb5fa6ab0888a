"""Counts a champion's failures in a row, and takes it back when there are too many.

A failure is one run in which the champion could not be loaded, or forecast something that is not a number. A run
in which it did well starts the count anew. At the limit the champion that it replaced comes back, or the nearest one
before that which can be read: nobody is asked, since a champion that answers nothing is worth less than any that
does. The pointer's compare-and-set makes that happen once, however many runs notice at the same time.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from include.errors import BadInputError, IntegrityError
from include.ml.champions import ChampionMovedError
from include.ml.model_record import champion_id
from include.notify.champion_rollback import rollback_message
from include.store.collections import CHAMPION_FAILURES
from include.store.outage import mongo_outage

if TYPE_CHECKING:
    from pymongo.database import Database

    from include.ml.champions import Pointer
    from include.ml.promotion import Promotions

REMEMBERED_RUNS = 50
"""A run is counted once per champion, however often its task is tried; so many of them are remembered."""

__all__ = ["ChampionFailure", "Rollback", "note_outcomes", "rollback_message"]


@dataclass(frozen=True)
class ChampionFailure:
    """A champion that could not be loaded, or whose forecast is not finite; `reason` names it and the remedy."""

    model_id: str
    model_type: str
    symbol: str
    timeframe: str
    reason: str

    @property
    def champion_id(self) -> str:
        """The place that the model holds."""
        return champion_id(self.model_type, self.symbol, self.timeframe)


@dataclass(frozen=True)
class Rollback:
    """An automatic rollback that was made (`done`), or could not be (`why_not`).

    `failures` of `from_model_id` since `since`, the last one for `reason`; `skipped` says why nearer models than
    `to_model_id` were not taken. `version` is the pointer's after the rollback, or as it stayed.
    """

    champion_id: str
    from_model_id: str
    to_model_id: str | None
    version: int
    failures: int
    since: datetime
    reason: str
    done: bool
    why_not: str | None = None
    skipped: tuple[str, ...] = ()


def note_outcomes(
    db: Database[dict[str, Any]],
    promotions: Promotions,
    failures: Sequence[ChampionFailure],
    well: Collection[str],
    *,
    limit: int,
    who: str,
    now: datetime,
) -> list[Rollback]:
    """Count what a run has seen of its champions, and roll back those that have failed too often in a row.

    Send :func:`rollback_message` for each answer at once. Reads once and writes nothing while all is well.

    :param failures: of champions, at most one per model.
    :param well: ids of the models that could be loaded and forecast.
    :param limit: failures in a row at which a champion is taken back.
    :param who: the run, for instance `predict_price/manual__2026-01-01`; its retries do not count again.
    :param now: aware.
    :returns: what was rolled back, and what could not be: that again with every further failure.
    :raises include.errors.ServiceUnavailableError: while MongoDB is away.
    """
    _forget(db, well)
    rollbacks = []
    for failure in failures:
        counted = _count(db, failure, who, now)
        if counted["failures"] >= limit:
            rollback = _roll_back(promotions, failure, counted, who)
            if rollback is not None:
                rollbacks.append(rollback)
            if rollback is None or rollback.done:
                _forget(db, [failure.model_id])
    return rollbacks


@mongo_outage("forgetting a champion's failures")
def _forget(db: Database[dict[str, Any]], model_ids: Collection[str]) -> None:
    known = [found["_id"] for found in db[CHAMPION_FAILURES].find({"_id": {"$in": list(model_ids)}}, {"_id": 1})]
    if known:
        db[CHAMPION_FAILURES].delete_many({"_id": {"$in": known}})


@mongo_outage("counting a champion's failure")
def _count(db: Database[dict[str, Any]], failure: ChampionFailure, who: str, now: datetime) -> dict[str, Any]:
    at = now.astimezone(UTC)
    while True:
        try:
            counted: dict[str, Any] | None = db[CHAMPION_FAILURES].find_one_and_update(
                {"_id": failure.model_id, "runs": {"$ne": who}},
                {
                    "$inc": {"failures": 1},
                    "$push": {"runs": {"$each": [who], "$slice": -REMEMBERED_RUNS}},
                    "$set": {"champion_id": failure.champion_id, "reason": failure.reason, "last_at": at},
                    "$setOnInsert": {"since": at},
                },
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        except DuplicateKeyError:  # this run has been counted, or another inserted the document this moment
            seen = db[CHAMPION_FAILURES].find_one({"_id": failure.model_id})
            if seen is not None and who in seen["runs"]:
                return seen
        else:
            if counted is not None:  # an upsert always has an answer
                return counted


def _roll_back(promotions: Promotions, failure: ChampionFailure, counted: dict[str, Any], who: str) -> Rollback | None:
    """Roll back by compare-and-set; None when the model is no champion (any more): somebody was faster."""
    pointer = promotions.registry.pointer(failure.model_type, failure.symbol, failure.timeframe)
    if pointer is None or pointer.model_id != failure.model_id:
        return None
    times = f"{counted['failures']} failures in a row since {counted['since'].isoformat(timespec='seconds')}"
    try:
        moved = promotions.rollback_from(
            pointer,
            who=f"automatic ({who})",
            why=f"{times}, the last one: {failure.reason}",
            skip_unreadable=True,
            check=promotions.require_readable,
        )
    except ChampionMovedError:
        return None
    except (BadInputError, IntegrityError) as error:
        return _outcome(pointer, failure, counted, done=False, why_not=str(error))
    return _outcome(
        pointer,
        failure,
        counted,
        done=True,
        to_model_id=moved["model_id"],
        version=moved["version"],
        skipped=tuple(moved["skipped"]),
    )


def _outcome(pointer: Pointer, failure: ChampionFailure, counted: dict[str, Any], **result: Any) -> Rollback:
    return Rollback(
        **{
            "champion_id": pointer.champion_id,
            "from_model_id": failure.model_id,
            "to_model_id": None,
            "version": pointer.version,
            "failures": counted["failures"],
            "since": counted["since"],
            "reason": failure.reason,
            **result,
        }
    )
