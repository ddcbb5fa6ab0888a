"""What must hold: which strategies are disabled, since when, why, by whom.

One record per strategy (and one for `book`, all entries), changed by compare-and-set, and an append-only history of
every change and of what the engine answered. The record is what must hold, not what the engine does: the engine
forgets at a restart, and the strategy watchdog tells it again. Nothing in this bundle writes `enabled` but the step
behind a person's approval.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from pymongo import ASCENDING
from pymongo.errors import DuplicateKeyError

from include.errors import BadInputError, TradingOpsError, TransientError
from include.store.collections import KILL_SWITCH, KILL_SWITCH_HISTORY
from include.store.durable import insert_absent
from include.store.outage import mongo_outage

if TYPE_CHECKING:
    from pymongo.database import Database

State = Literal["disabled", "enabled"]

MAX_ROUNDS = 20


class NotFollowedError(TradingOpsError):
    """The engine does not follow what was decided, and trying again will not change it; people have been told."""


class StillTradesError(NotFollowedError):
    """A strategy that must not trade still does, or no record could be kept that it must not."""


@dataclass(frozen=True)
class Order:
    """Somebody wants a state: who, why, on what evidence, in which run. `at` is aware UTC."""

    strategy: str
    state: State
    reason: str
    by: str
    task_id: str
    at: datetime
    evidence: Mapping[str, Any]

    def event(self, *, changed: bool, version: int | None, applied: bool = True) -> dict[str, Any]:
        """Return the row of the history; one per run, strategy and state, however often the run tries."""
        return {
            "_id": f"{self.task_id}:{self.strategy}:{self.state}",
            "strategy": self.strategy,
            "action": self.state,
            "reason": self.reason,
            "by": self.by,
            "task_id": self.task_id,
            "at": self.at,
            "evidence": dict(self.evidence),
            "changed": changed,
            "version": version,
            "applied": applied,
        }


@dataclass(frozen=True)
class Record:
    """What holds for one strategy. `engine` is what the engine last answered, empty before it was asked."""

    strategy: str
    state: State
    reason: str
    by: str
    task_id: str
    changed_at: datetime
    evidence: dict[str, Any]
    version: int
    engine: dict[str, Any]

    @property
    def disabled(self) -> bool:
        """Whether it must not trade."""
        return self.state == "disabled"

    @property
    def confirmed(self) -> bool:
        """Whether the engine has said (and, where it can, shown) that it follows the record."""
        return self.engine.get("outcome") == self.state

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Record:
        """Read the stored form."""
        return cls(
            document["_id"], document["state"], document["reason"], document["by"], document["task_id"],
            document["changed_at"], document["evidence"], document["version"], document["engine"],
        )  # fmt: skip

    def to_document(self) -> dict[str, Any]:
        """Return the stored form."""
        return {
            "_id": self.strategy, "state": self.state, "reason": self.reason, "by": self.by, "task_id": self.task_id,
            "changed_at": self.changed_at, "evidence": self.evidence, "version": self.version, "engine": self.engine,
        }  # fmt: skip


def read_records(db: Database[dict[str, Any]]) -> dict[str, Record]:
    """Return every record by strategy.

    :raises include.errors.ServiceUnavailableError: while MongoDB is away.
    """
    with mongo_outage("reading the kill switches"):
        return {document["_id"]: Record.from_document(document) for document in db[KILL_SWITCH].find()}


def read_record(db: Database[dict[str, Any]], strategy: str) -> Record | None:
    """Return the record of one strategy, None where there has never been one."""
    with mongo_outage(f"reading the kill switch of {strategy}"):
        document = db[KILL_SWITCH].find_one({"_id": strategy})
    return None if document is None else Record.from_document(document)


def set_state(db: Database[dict[str, Any]], order: Order) -> tuple[Record, bool]:
    """Make the record say what is ordered; return it, and whether this run changed it (now or in an earlier try).

    A record that says so already keeps its reason, its evidence and its time; the history notes who asked again.

    :raises BadInputError: for an order without a reason.
    :raises include.errors.ServiceUnavailableError: while MongoDB is away.
    """
    if not order.reason.strip() or not order.by.strip():
        raise BadInputError(f"a kill switch is not changed without a reason and a name: {order.strategy}")
    with mongo_outage(f"recording {order.strategy} as {order.state}"):
        for _ in range(MAX_ROUNDS):
            before = read_record(db, order.strategy)
            if before is not None and before.state == order.state:
                ours = before.task_id == order.task_id
                insert_absent(db, KILL_SWITCH_HISTORY, order.event(changed=ours, version=before.version))
                return before, ours
            after = Record(
                order.strategy, order.state, order.reason, order.by, order.task_id, order.at, dict(order.evidence),
                1 if before is None else before.version + 1, {},
            )  # fmt: skip
            if _put(db, before, after):
                insert_absent(db, KILL_SWITCH_HISTORY, order.event(changed=True, version=after.version))
                return after, True
    raise TransientError(f"the kill switch of {order.strategy} is being changed all the time; try again")


def note_engine(
    db: Database[dict[str, Any]], strategy: str, state: State, answer: Mapping[str, Any], task_id: str, try_number: int
) -> None:
    """Keep what the engine answered to an order: with the record, if that still says so, and in the history.

    :param answer: `outcome` (the state, when it is reached), `at` (aware), and details.
    """
    row = {
        "_id": f"{task_id}:{strategy}:engine:{state}:{try_number}",
        "strategy": strategy,
        "action": "engine",
        "task_id": task_id,
        "at": answer["at"],
        "answer": dict(answer),
        "applied": True,
    }
    with mongo_outage(f"recording what the engine answered about {strategy}"):
        db[KILL_SWITCH].update_one({"_id": strategy, "state": state}, {"$set": {"engine": dict(answer)}})
        insert_absent(db, KILL_SWITCH_HISTORY, row)


def note_refusal(db: Database[dict[str, Any]], order: Order) -> None:
    """Keep in the history that a person (or the clock) refused what was asked for; nothing else changes."""
    row = order.event(changed=False, version=None) | {
        "_id": f"{order.task_id}:{order.strategy}:refused",
        "action": "refused",
    }
    insert_absent(db, KILL_SWITCH_HISTORY, row)


def apply_waiting(db: Database[dict[str, Any]]) -> list[str]:
    """Carry out the orders that were spooled while MongoDB was away and have been replayed since; return whose.

    An order older than the record's last change is history: a person's later decision stands.
    """
    applied = []
    with mongo_outage("applying spooled kill switches"):
        rows = list(db[KILL_SWITCH_HISTORY].find({"applied": False}).sort("at", ASCENDING))
        for row in rows:
            record = read_record(db, row["strategy"])
            if record is None or record.changed_at < row["at"]:
                order = Order(
                    row["strategy"], row["action"], row["reason"], row["by"], row["task_id"], row["at"], row["evidence"]
                )  # fmt: skip
                set_state(db, order)
                applied.append(row["strategy"])
            db[KILL_SWITCH_HISTORY].update_one({"_id": row["_id"]}, {"$set": {"applied": True}})
    return applied


def _put(db: Database[dict[str, Any]], before: Record | None, after: Record) -> bool:
    """Write `after` if the record is still `before`."""
    if before is None:
        try:
            db[KILL_SWITCH].insert_one(after.to_document())
        except DuplicateKeyError:
            return False
        return True
    unchanged = {"_id": before.strategy, "version": before.version}
    return db[KILL_SWITCH].replace_one(unchanged, after.to_document()).modified_count == 1
