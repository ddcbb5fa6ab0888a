"""The switch of GPT-4: whether it may be asked at all.

One document (`gpt4_switch`) says what holds now and changes by compare-and-set; a critical cost switches it off, only
a person switches it on again. Every change has a row in `gpt4_switch_history`, never changed afterwards. The document
carries its own latest change in full, so that a row which a crash has kept from being written is written with the
next change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pymongo.errors import DuplicateKeyError

from include.analyst.errors import Gpt4SwitchedOffError
from include.errors import BadInputError, TransientError
from include.store.collections import GPT4_SWITCH, GPT4_SWITCH_HISTORY
from include.store.documents import storable
from include.store.outage import mongo_outage

if TYPE_CHECKING:
    from pymongo.database import Database

SWITCH_ID = "openai"
MAX_ROUNDS = 20


@dataclass(frozen=True)
class SwitchState:
    """What holds now: since when, by whom and why. Without any change so far it is on, at version 0."""

    on: bool
    reason: str
    by: str
    at: datetime | None
    version: int
    evidence: Mapping[str, Any]


NEVER_CHANGED = SwitchState(on=True, reason="never switched", by="", at=None, version=0, evidence={})


def read_switch(db: Database[dict[str, Any]]) -> SwitchState:
    """Return what holds now.

    :raises include.errors.ServiceUnavailableError: while MongoDB is away.
    """
    with mongo_outage("reading the switch of GPT-4, so no call is made"):
        document = db[GPT4_SWITCH].find_one({"_id": SWITCH_ID})
    if document is None:
        return NEVER_CHANGED
    return SwitchState(
        on=document["on"],
        reason=document["reason"],
        by=document["by"],
        at=document["at"],
        version=document["version"],
        evidence=document["evidence"],
    )


def require_on(db: Database[dict[str, Any]]) -> None:
    """Return while GPT-4 may be asked.

    :raises include.analyst.errors.Gpt4SwitchedOffError: with the reason, by whom and when.
    :raises include.errors.ServiceUnavailableError: while MongoDB is away: nobody knows then, so nobody asks.
    """
    state = read_switch(db)
    if not state.on:
        raise Gpt4SwitchedOffError(state.reason, state.by, state.at)


def switch_off(db: Database[dict[str, Any]], reason: str, evidence: Mapping[str, Any], by: str, now: datetime) -> bool:
    """Switch GPT-4 off; return False when it was off already (nothing changes then, not even the reason).

    :param evidence: the figures that it rests on; kept with the change.
    :param by: who, for instance `daily_api_cost_report/<run id>`.
    :raises BadInputError: without a reason or a name, or for evidence that cannot be stored.
    :raises include.errors.ServiceUnavailableError: while MongoDB is away; nothing is changed then.
    """
    return _switch(db, False, reason, evidence, by, now)


def switch_on(db: Database[dict[str, Any]], reason: str, evidence: Mapping[str, Any], by: str, now: datetime) -> bool:
    """Switch GPT-4 on again, for a person; return False when it was on already. Raises as :func:`switch_off`."""
    return _switch(db, True, reason, evidence, by, now)


def switched_off_since(db: Database[dict[str, Any]], since: datetime) -> bool:
    """Tell whether somebody or something has switched GPT-4 off at `since` (aware UTC) or later."""
    with mongo_outage("reading the history of the switch of GPT-4"):
        return db[GPT4_SWITCH_HISTORY].find_one({"on": False, "at": {"$gte": since}}, {"_id": 1}) is not None


def _switch(
    db: Database[dict[str, Any]], on: bool, reason: str, evidence: Mapping[str, Any], by: str, now: datetime
) -> bool:
    if not reason.strip() or not by.strip():
        raise BadInputError(f"a change of GPT-4's switch needs a reason and a name, got {reason!r:.80} and {by!r:.80}")
    change = {"on": on, "reason": reason, "by": by, "at": now, "evidence": storable(evidence)}
    with mongo_outage(f"switching GPT-4 {'on' if on else 'off'}"):
        for _ in range(MAX_ROUNDS):
            before = db[GPT4_SWITCH].find_one({"_id": SWITCH_ID})
            if before is not None:
                _record(db, before)
            if on == (before is None or before["on"]):
                return False
            after = {"_id": SWITCH_ID, **change, "version": 1 if before is None else before["version"] + 1}
            if _swap(db, before, after):
                _record(db, after)
                return True
    raise TransientError("the switch of GPT-4 is being rewritten all the time; try again")


def _swap(db: Database[dict[str, Any]], before: Mapping[str, Any] | None, after: dict[str, Any]) -> bool:
    if before is None:
        try:
            db[GPT4_SWITCH].insert_one(after)
        except DuplicateKeyError:
            return False  # another worker made the first change
        return True
    answer = db[GPT4_SWITCH].replace_one({"_id": SWITCH_ID, "version": before["version"]}, after)
    return answer.modified_count == 1


def _record(db: Database[dict[str, Any]], state: Mapping[str, Any]) -> None:
    """Write the row of a change, once."""
    row = {**state, "_id": f"{SWITCH_ID}:{state['version']}"}
    db[GPT4_SWITCH_HISTORY].update_one({"_id": row["_id"]}, {"$setOnInsert": row}, upsert=True)
