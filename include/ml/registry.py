"""The registry of models: candidate -> champion -> archived, and back by a rollback.

A model is one document of the collection `models`, never deleted. Who is champion is told by the
pointer alone (`include.ml.champions`); the states in the documents follow it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from include.errors import BadInputError, FencedError, IntegrityError
from include.ml.champions import ChampionPointers, Kind, Move, Pointer
from include.ml.model_files import StoredFile
from include.ml.model_record import ARCHIVED, CANDIDATE, CHAMPION, ModelRecord, TrainedCandidate, champion_id
from include.store.collections import DEPLOYMENTS, MODELS
from include.store.outage import mongo_outage

if TYPE_CHECKING:
    from pymongo.database import Database


@dataclass(frozen=True)
class Registration:
    """The id of a registered candidate, and the file of the one that it replaced, if it did."""

    model_id: str
    superseded: StoredFile | None


class ModelRegistry:
    """Registers, finds, promotes and archives models."""

    def __init__(self, db: Database[dict[str, Any]]) -> None:
        self._models = db[MODELS]
        self._deployments = db[DEPLOYMENTS]
        self.pointers = ChampionPointers(db)

    @mongo_outage("registering a model")
    def register(self, candidate: TrainedCandidate, now: datetime | None = None) -> Registration:
        """Store `candidate` under the id `{task_id}:{model_type}`.

        A retry of the same run overwrites its candidate. A model that was promoted or archived already is
        never overwritten: a run that is repeated after that gets `{task_id}:{model_type}:2` and so on.

        :raises FencedError: when a newer try of the same run has registered its candidate.
        """
        at = now or datetime.now(UTC)
        base = f"{candidate.task_id}:{candidate.model_type}"
        generation, model_id = 1, base
        while True:
            try:
                before = self._overwrite(model_id, candidate, at)
            except DuplicateKeyError:
                if not self._may_overwrite(model_id, candidate):
                    generation += 1
                    model_id = f"{base}:{generation}"
                continue
            superseded = StoredFile.from_dict(before["file"]) if before else None
            return Registration(model_id, superseded if superseded != candidate.file else None)

    def _may_overwrite(self, model_id: str, candidate: TrainedCandidate) -> bool:
        existing = self._models.find_one({"_id": model_id})
        if existing is None:
            return True
        same = (existing["symbol"], existing["timeframe"]) == (candidate.symbol, candidate.timeframe)
        if existing["state"] != CANDIDATE or existing.get("frozen") or not same:
            return False
        if existing["try_number"] > candidate.try_number:
            raise FencedError(
                f"Try {candidate.try_number} of {candidate.task_id} may not register its {candidate.model_type}: "
                f"try {existing['try_number']} has taken over"
            )
        return True

    def _overwrite(self, model_id: str, candidate: TrainedCandidate, at: datetime) -> dict[str, Any] | None:
        return self._models.find_one_and_update(
            {
                "_id": model_id,
                "state": CANDIDATE,
                "frozen": {"$ne": True},
                "try_number": {"$lte": candidate.try_number},
                "symbol": candidate.symbol,
                "timeframe": candidate.timeframe,
            },
            {
                "$set": {
                    "model_type": candidate.model_type,
                    "file": candidate.file.to_dict(),
                    "spec": dict(candidate.spec),
                    "evaluation": dict(candidate.evaluation),
                    "training": dict(candidate.training),
                    "weights_sha256": candidate.weights_sha256,
                    "feature_distribution": candidate.feature_distribution,
                    "task_id": candidate.task_id,
                    "try_number": candidate.try_number,
                    "created_at": at,
                },
                "$setOnInsert": {"state_version": 0},
                "$push": {"states": {"state": CANDIDATE, "at": at, "why": f"trained by try {candidate.try_number}"}},
            },
            upsert=True,
            return_document=ReturnDocument.BEFORE,
        )

    @mongo_outage("reading a model's record")
    def get(self, model_id: str) -> ModelRecord:
        """Return a model.

        :raises BadInputError: for an unknown id.
        """
        document = self._models.find_one({"_id": model_id})
        if document is None:
            raise BadInputError(f"Unknown model: {model_id!r}; the ids are those of the collection {MODELS}")
        return ModelRecord.from_document(document)

    def pointer(self, model_type: str, symbol: str, timeframe: str) -> Pointer | None:
        """Return who holds a champion's place, with the version that a promotion may expect."""
        return self.pointers.get(champion_id(model_type, symbol, timeframe))

    @mongo_outage("reading a champion")
    def champion(self, model_type: str, symbol: str, timeframe: str) -> ModelRecord | None:
        """Return the champion, or None while there has never been one.

        :raises IntegrityError: when the pointer names a model that the registry does not have.
        """
        pointer = self.pointer(model_type, symbol, timeframe)
        if pointer is None:
            return None
        document = self._models.find_one({"_id": pointer.model_id})
        if document is None:
            raise IntegrityError(
                f"The champion of {pointer.champion_id} is {pointer.model_id}, which is not in the registry; "
                "restore the collection from a backup or roll back"
            )
        return ModelRecord.from_document({**document, "state": CHAMPION})

    @mongo_outage("promoting a model")
    def promote(
        self,
        model_id: str,
        expected_model_id: str | None,
        *,
        who: str,
        why: str,
        evidence: Mapping[str, Any] | None = None,
        sha256: str | None = None,
        expected_version: int | None = None,
        kind: Kind = "deploy",
        now: datetime | None = None,
    ) -> Pointer:
        """Make a model the champion of its place if `expected_model_id` still holds it; archive that one.

        :param expected_model_id: the champion that the decision compared with; None for the first ever.
        :param sha256: hash of the file that was judged; a candidate overwritten since then is refused.
        :param expected_version: see :meth:`ChampionPointers.move`.
        :raises ChampionMovedError: when somebody else moved the pointer.
        :raises BadInputError: for an unknown model, or one whose file is not the judged one.
        """
        judged = {"file.sha256": sha256} if sha256 else {}
        # Freezing first: from here on no retry of its training may overwrite what is being promoted.
        document = self._models.find_one_and_update({"_id": model_id, **judged}, {"$set": {"frozen": True}})
        if document is None:
            record = self.get(model_id)
            raise BadInputError(
                f"Model {model_id} was trained again after it was judged (its file is now {record.file.name}): judge it"
                " again"
            )
        record = ModelRecord.from_document(document)
        move = Move(
            record.champion_id, model_id, expected_model_id, who, why, evidence or {}, kind, now or datetime.now(UTC)
        )
        return self.pointers.move(move, expected_version)

    @mongo_outage("looking for the previous champions")
    def rollback_targets(self, pointer: Pointer) -> list[str]:
        """Return the ids of the models to go back to from the champion that `pointer` names, the nearest first.

        The first is the one that was champion before that one was deployed, the next the one before, and so on; what
        rollbacks did in between does not count. Empty for the first champion ever.
        """
        replaced: dict[str, str | None] = {
            deployed["to_model_id"]: deployed["from_model_id"]
            for deployed in self._deployments.find({"champion_id": pointer.champion_id, "kind": "deploy"}).sort(
                "version"
            )
        }
        targets: list[str] = []
        previous = replaced.get(pointer.model_id)
        while previous is not None and previous not in targets and previous != pointer.model_id:
            targets.append(previous)
            previous = replaced.get(previous)
        return targets

    def rollback_target(self, model_type: str, symbol: str, timeframe: str) -> tuple[Pointer, ModelRecord]:
        """Return the pointer as it is and the model that was champion before the present one was deployed.

        :raises BadInputError: when there is no champion, or nothing before it.
        """
        place = champion_id(model_type, symbol, timeframe)
        pointer = self.pointers.repair(place)
        if pointer is None:
            raise BadInputError(f"There is no champion of {place}: nothing to roll back")
        targets = self.rollback_targets(pointer)
        if not targets:
            raise BadInputError(f"{pointer.model_id} is the first champion of {place}: nothing to roll back to")
        return pointer, self.get(targets[0])

    @mongo_outage("archiving a model")
    def archive(self, model_id: str, why: str, now: datetime | None = None) -> bool:
        """Archive a candidate that was not deployed; returns whether it changed anything.

        :raises BadInputError: for an unknown model and for a champion, which only a successor archives.
        """
        record = self.get(model_id)
        pointer = self.pointers.get(record.champion_id)
        if pointer and pointer.model_id == model_id:
            raise BadInputError(f"{model_id} is the champion of {record.champion_id}: promote another or roll back")
        at = now or datetime.now(UTC)
        changed = self._models.update_one(
            {"_id": model_id, "state": CANDIDATE},
            {"$set": {"state": ARCHIVED}, "$push": {"states": {"state": ARCHIVED, "at": at, "why": why}}},
        )
        return changed.modified_count == 1

    @mongo_outage("completing a model's record")
    def complete_weights(self, model_id: str, file: StoredFile, sha256: str) -> bool:
        """Enter the hash of the plain weights that were taken from `file`, where none is known; returns whether it did.

        Nothing changes when the model has been trained again since, or somebody else was first.
        """
        unknown = {"_id": model_id, "file.sha256": file.sha256, "weights_sha256": None}
        return self._models.update_one(unknown, {"$set": {"weights_sha256": sha256}}).modified_count == 1

    @mongo_outage("looking for a model file's owner")
    def refers_to_file(self, name: str) -> bool:
        """Return whether any model's file has this name."""
        return self._models.find_one({"file.name": name}, {"_id": 1}) is not None

    @mongo_outage("listing the models' files")
    def referenced_files(self) -> set[str]:
        """Return the names of the files of all models."""
        return set(self._models.distinct("file.name"))
