"""Judging a candidate, deploying or keeping it, and rolling a champion back.

What `judge` found out is a JSON-able dictionary that travels from task to task and ends as the evidence in
the deployment's record.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from include.errors import BadInputError, IntegrityError
from include.ml.comparison import compare
from include.ml.config import MODEL_TYPES
from include.ml.deployment import DeployRule, decide
from include.ml.loaded_model import load_model
from include.ml.model_record import champion_id
from include.ml.spec import ModelSpec

if TYPE_CHECKING:
    from include.market.candle_store import CandleStore
    from include.ml.champions import Pointer
    from include.ml.light.weight_store import WeightStore
    from include.ml.model_files import ModelFileStore
    from include.ml.model_record import ModelRecord
    from include.ml.registry import ModelRegistry


@dataclass(frozen=True)
class Promotions:
    """The operations that change champions, with what they work on.

    `min_comparison_bars` is the number of common bars below which the champion stays. `weights` are the models'
    plain weights, by which an automatic rollback tells a usable model without loading TensorFlow.
    """

    registry: ModelRegistry
    files: ModelFileStore
    candle_store: CandleStore
    rule: DeployRule
    min_comparison_bars: int
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    weights: WeightStore | None = None

    def judge(self, candidate_id: str) -> dict[str, Any]:
        """Compare a candidate with the present champion and apply the deployment rule; changes nothing.

        :returns: `candidate_id`, `candidate_sha256`, `champion_id`, `expected_model_id`, `expected_version`,
            `holdout` (the candidate's evaluation), `comparison`, `verdict`, `judged_at`; numbers that are not
            finite are None.
        :raises BadInputError: for an unknown model.
        :raises IntegrityError: when the candidate's own file cannot be read.
        """
        candidate = self.registry.get(candidate_id)
        pointer = self.registry.pointer(candidate.model_type, candidate.symbol, candidate.timeframe)
        champion = self.registry.get(pointer.model_id) if pointer else None
        version = pointer.version if pointer else 0
        comparison = compare(
            candidate,
            champion,
            files=self.files,
            candle_store=self.candle_store,
            min_bars=self.min_comparison_bars,
            champion_version=version,
        )
        accuracy, skill = (_number(candidate.evaluation.get(name)) for name in ("accuracy", "skill"))
        verdict = decide(accuracy, skill, comparison, self.rule)
        judgement: dict[str, Any] = _finite(
            {
                "candidate_id": candidate_id,
                "candidate_sha256": candidate.file.sha256,
                "model_type": candidate.model_type,
                "symbol": candidate.symbol,
                "timeframe": candidate.timeframe,
                "champion_id": candidate.champion_id,
                "expected_model_id": champion.id if champion else None,
                "expected_version": version,
                "holdout": dict(candidate.evaluation),
                "comparison": comparison.to_dict(),
                "verdict": verdict.to_dict(),
                "judged_at": self.now().isoformat(),
            }
        )
        return judgement

    def deploy(self, judgement: Mapping[str, Any], who: str) -> dict[str, Any]:
        """Make the judged candidate the champion, if the champion is still the one it was compared with.

        Repeating it changes nothing. The former champion is archived.

        :param who: the run or person that does it, for the record.
        :raises BadInputError: when the verdict is not to deploy, or the candidate was trained again since.
        :raises ChampionMovedError: when the champion changed since; judge again.
        """
        verdict, candidate_id = judgement["verdict"], judgement["candidate_id"]
        if not verdict["deploy"]:
            raise BadInputError(f"The verdict on {candidate_id} is not to deploy it ({verdict['reason']}): keep it")
        pointer = self.registry.promote(
            candidate_id,
            judgement["expected_model_id"],
            who=who,
            why=verdict["reason"],
            evidence=judgement,
            sha256=judgement["candidate_sha256"],
            expected_version=judgement["expected_version"],
            now=self.now(),
        )
        return {"deployed": True, **_moved(pointer, judgement["expected_model_id"]), "reason": verdict["reason"]}

    def keep(self, judgement: Mapping[str, Any]) -> dict[str, Any]:
        """Archive the judged candidate; the champion stays. Repeating it changes nothing."""
        reason = judgement["verdict"]["reason"]
        self.registry.archive(judgement["candidate_id"], reason, self.now())
        return {
            "deployed": False,
            "champion_id": judgement["champion_id"],
            "model_id": judgement["candidate_id"],
            "previous_model_id": judgement["expected_model_id"],
            "version": judgement["expected_version"],
            "reason": reason,
        }

    def promote_by_hand(self, candidate_id: str, *, who: str, why: str) -> dict[str, Any]:
        """Make a model the champion on a person's word, without the rule; for a champion that cannot be read or
        compared any more. What the rule says is kept with the deployment as evidence.

        :raises BadInputError: for an unknown model.
        :raises IntegrityError: when the model's own file cannot be read.
        :raises ChampionMovedError: when somebody else changed the champion meanwhile.
        """
        judgement = self.judge(candidate_id)
        load_model(self.registry.get(candidate_id), self.files)
        pointer = self.registry.promote(
            candidate_id,
            judgement["expected_model_id"],
            who=who,
            why=why,
            evidence={"by_hand": True, "judgement": judgement},
            sha256=judgement["candidate_sha256"],
            expected_version=judgement["expected_version"],
            now=self.now(),
        )
        return _moved(pointer, judgement["expected_model_id"])

    def rollback(
        self, model_type: str, symbol: str, timeframe: str, *, who: str, why: str, skip_unreadable: bool = False
    ) -> dict[str, Any]:
        """Make the model champion again that the present one replaced, after making sure that it still opens.

        :param skip_unreadable: go on to the model before when it does not open, and so on back to the first.
        :returns: `champion_id`, `model_id`, `previous_model_id`, `version`, and `skipped`: why each model in between
            was not taken.
        :raises BadInputError: when there is nothing to roll back to.
        :raises IntegrityError: when the former champion cannot be read; the present one stays.
        :raises ChampionMovedError: when somebody else changed the champion meanwhile.
        """
        pointer, _ = self.registry.rollback_target(model_type, symbol, timeframe)
        return self.rollback_from(pointer, who=who, why=why, skip_unreadable=skip_unreadable)

    def rollback_from(
        self,
        pointer: Pointer,
        *,
        who: str,
        why: str,
        skip_unreadable: bool,
        check: Callable[[ModelRecord], object] | None = None,
    ) -> dict[str, Any]:
        """Do as :meth:`rollback`, but only if the champion is still the one that `pointer` was read as.

        Repeating it with the same pointer changes nothing.

        :param check: raises `IntegrityError` for a model that cannot be used; by default its network is opened,
            and its plain weights.
        """
        skipped: list[str] = []
        for target_id in self.registry.rollback_targets(pointer):
            target = self.registry.get(target_id)
            try:
                (check or self._opens)(target)
            except IntegrityError as error:
                skipped.append(str(error))
                if not skip_unreadable:
                    break
                continue
            moved = self.registry.promote(
                target.id,
                pointer.model_id,
                who=who,
                why=why,
                evidence={"rolled_back_from": pointer.model_id, "skipped": skipped},
                sha256=target.file.sha256,
                expected_version=pointer.version,
                kind="rollback",
                now=self.now(),
            )
            return {**_moved(moved, pointer.model_id), "skipped": skipped}
        if skipped:
            raise IntegrityError(
                f"{pointer.champion_id} stays at {pointer.model_id}: what it would be rolled back to cannot be read "
                f"({'; '.join(skipped)})"
            )
        raise BadInputError(
            f"{pointer.model_id} is the first champion of {pointer.champion_id}: nothing to roll back to"
        )

    def require_readable(self, record: ModelRecord) -> None:
        """Make sure that a model can be used: its file whole, and its plain weights (without loading TensorFlow).

        A model that has no plain weights yet is opened as a network.

        :raises IntegrityError: otherwise; the message names the model.
        """
        if record.weights_sha256 is None or self.weights is None:
            load_model(record, self.files)
            return
        try:
            ModelSpec.from_dict(record.spec)
            self.files.load_stored(record.file.name, record.file.sha256)
            weights = self.weights.load_many({record.file.name: record.weights_sha256})[record.file.name]
            if isinstance(weights, IntegrityError):
                raise weights
        except IntegrityError as error:
            raise IntegrityError(f"Model {record.id} cannot be read: {error}") from error

    def _opens(self, record: ModelRecord) -> None:
        load_model(record, self.files)
        self.require_readable(record)


def champion_status(registry: ModelRegistry, symbol: str, timeframe: str) -> dict[str, dict[str, Any] | None]:
    """Return per model type who is champion since when, with its hold-out numbers; None where there is none."""
    status: dict[str, dict[str, Any] | None] = {}
    for model_type in MODEL_TYPES:
        pointer = registry.pointers.get(champion_id(model_type, symbol, timeframe))
        if pointer is None:
            status[model_type] = None
            continue
        record = registry.get(pointer.model_id)
        status[model_type] = {
            "model_id": record.id,
            "version": pointer.version,
            "champion_since": pointer.moved_at.isoformat(),
            "trained_at": record.created_at.isoformat(),
            **{
                name: record.evaluation.get(name)
                for name in ("accuracy", "baseline_accuracy", "skill", "skill_low", "skill_high", "edge", "bars")
            },
        }
    return status


def _moved(pointer: Pointer, previous_model_id: str | None) -> dict[str, Any]:
    return {
        "champion_id": pointer.champion_id,
        "model_id": pointer.model_id,
        "previous_model_id": previous_model_id,
        "version": pointer.version,
    }


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
