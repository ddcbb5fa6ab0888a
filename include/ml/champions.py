"""The pointer that says which model is the champion, and how it moves.

One document of `champions` per (model type, symbol, timeframe) is the whole truth. A move is one
compare-and-set on it; the record of the move travels inside the pointer. What follows (the models'
states, the append-only row in `deployments`) is derived from the pointer and is repaired by the next
move when a crash came between: every derived write carries the pointer's version, and an older version
never overwrites a newer one, however late it arrives.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from pymongo.errors import DuplicateKeyError

from include.errors import TradingOpsError
from include.ml.model_record import ARCHIVED, CHAMPION, State
from include.store.collections import CHAMPIONS, DEPLOYMENTS, MODELS
from include.store.outage import mongo_outage

if TYPE_CHECKING:
    from pymongo.database import Database

Kind = Literal["deploy", "rollback"]


class ChampionMovedError(TradingOpsError):
    """Somebody else changed the champion since it was looked at; judge again before deploying."""


@dataclass(frozen=True)
class Pointer:
    """Who holds a champion's place. `version` grows by one with every move."""

    champion_id: str
    model_id: str
    version: int
    moved_at: datetime


@dataclass(frozen=True)
class Move:
    """The request to change a champion: from whom to whom, and who wants it why on what evidence."""

    champion_id: str
    to_model_id: str
    from_model_id: str | None
    who: str
    why: str
    evidence: Mapping[str, Any]
    kind: Kind
    at: datetime


class ChampionPointers:
    """Reads and moves the pointers of the collection `champions`."""

    def __init__(self, db: Database[dict[str, Any]]) -> None:
        self._champions = db[CHAMPIONS]
        self._models = db[MODELS]
        self._deployments = db[DEPLOYMENTS]

    @mongo_outage("reading a champion")
    def get(self, champion_id: str) -> Pointer | None:
        """Return the pointer, or None while the place is empty."""
        document = self._champions.find_one({"_id": champion_id})
        return _pointer(document) if document else None

    @mongo_outage("reading the champions")
    def model_ids(self, champion_ids: Collection[str]) -> dict[str, str]:
        """Return the model that holds each place, with one query; a place without a champion is absent."""
        wanted = {"_id": {"$in": list(champion_ids)}}
        return {row["_id"]: row["model_id"] for row in self._champions.find(wanted, {"model_id": 1})}

    @mongo_outage("reading the champions")
    def all(self, symbol: str | None = None, timeframe: str | None = None) -> list[Pointer]:
        """Return the pointers in the order of their names, of one symbol and timeframe if given."""
        return [
            pointer
            for pointer in map(_pointer, self._champions.find().sort("_id"))
            if symbol in (None, pointer.champion_id.split(":")[1])
            and timeframe in (None, pointer.champion_id.split(":")[2])
        ]

    @mongo_outage("moving a champion")
    def move(self, move: Move, expected_version: int | None = None) -> Pointer:
        """Make `move.to_model_id` the champion if `move.from_model_id` still is (None: the place is empty).

        Repeating a move that has been made is no error and makes no second record.

        :param expected_version: the pointer's version that the decision was taken on; guards against a
            champion that left and came back in between.
        :raises ChampionMovedError: when another model holds the place, or the version is another one.
        """
        document = self._repair(move.champion_id)
        current, version = (document["model_id"], document["version"]) if document else (None, 0)
        seen = version if expected_version is None else expected_version
        if document and current == move.to_model_id and version in (seen, seen + 1):
            return _pointer(document)
        if current != move.from_model_id or version != seen:
            raise _conflict(move, current, version)
        moved = {
            "model_id": move.to_model_id,
            "version": version + 1,
            "moved_at": move.at,
            "move": {
                "kind": move.kind,
                "who": move.who,
                "why": move.why,
                "evidence": dict(move.evidence),
                "from_model_id": current,
                "to_model_id": move.to_model_id,
            },
        }
        if not self._compare_and_set(move.champion_id, current, version, moved):
            now = self.get(move.champion_id)
            raise _conflict(move, now.model_id if now else None, now.version if now else 0)
        document = {"_id": move.champion_id, **moved}
        self._derive(document)
        return _pointer(document)

    @mongo_outage("repairing a champion's records")
    def repair(self, champion_id: str) -> Pointer | None:
        """Complete what a crash left undone after the pointer moved, and return the pointer."""
        document = self._repair(champion_id)
        return _pointer(document) if document else None

    def _repair(self, champion_id: str) -> dict[str, Any] | None:
        document = self._champions.find_one({"_id": champion_id})
        if document:
            self._derive(document)
        return document

    def _compare_and_set(self, champion_id: str, model_id: str | None, version: int, moved: dict[str, Any]) -> bool:
        if model_id is None:
            try:
                self._champions.insert_one({"_id": champion_id, **moved})
            except DuplicateKeyError:
                return False
            return True
        unchanged = {"_id": champion_id, "model_id": model_id, "version": version}
        return self._champions.update_one(unchanged, {"$set": moved}).matched_count == 1

    def _derive(self, document: dict[str, Any]) -> None:
        """Bring states and history in line with the pointer (idempotent, in any order)."""
        move, version, at = document["move"], document["version"], document["moved_at"]
        self._set_state(move["to_model_id"], CHAMPION, version, at, f"{move['kind']} by {move['who']}: {move['why']}")
        if move["from_model_id"]:
            self._set_state(move["from_model_id"], ARCHIVED, version, at, f"replaced by {move['to_model_id']}")
        record = {"champion_id": document["_id"], "version": version, "at": at, **move}
        self._deployments.update_one({"_id": f"{document['_id']}:v{version}"}, {"$setOnInsert": record}, upsert=True)

    def _set_state(self, model_id: str, state: State, version: int, at: datetime, why: str) -> None:
        self._models.update_one(
            {"_id": model_id, "state_version": {"$lt": version}},
            {
                "$set": {"state": state, "state_version": version},
                "$push": {"states": {"state": state, "at": at, "why": why}},
            },
        )


def _pointer(document: Mapping[str, Any]) -> Pointer:
    return Pointer(document["_id"], document["model_id"], document["version"], document["moved_at"])


def _conflict(move: Move, current: str | None, version: int) -> ChampionMovedError:
    return ChampionMovedError(
        f"The champion of {move.champion_id} is {current or 'nobody'} (version {version}) and no longer "
        f"{move.from_model_id or 'nobody'}: {move.to_model_id} was not deployed; compare it with the new champion first"
    )
