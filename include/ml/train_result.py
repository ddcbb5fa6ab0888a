"""What a training answers: the success and the failure shape, and the registry's account of how it was made."""

from __future__ import annotations

import resource
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from include.ml.versions import training_versions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from include.ml.config import TrainingConfig
    from include.ml.evaluation import Evaluation
    from include.ml.model_files import StoredFile
    from include.ml.training import TrainedModel
    from include.ml.training_job import TrainRequest


@dataclass
class Circumstances:
    """How a training came about, beside its numbers.

    :param config: as it is used in the end (the batch size may have been halved).
    :param start: `StartingPoint.to_dict`: the model started from, or None, and the reason in words.
    :param resumed_from: run id and epoch of the earlier run that was continued, or None.
    :param resume_reason: where a resume was asked for and not possible: why the training began anew.
    :param warnings: what an operator should know although the training succeeded.
    """

    config: TrainingConfig
    start: Mapping[str, Any] = field(default_factory=dict)
    resumed_from: Mapping[str, Any] | None = None
    resume_reason: str | None = None
    warnings: list[str] = field(default_factory=list)

    def warn(self, text: str) -> None:
        """Keep a warning, once."""
        if text not in self.warnings:
            self.warnings.append(text)


def peak_memory_mb() -> int:
    """Return the most memory that this process has had resident so far, in 10^6 bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 // 10**6


def success_result(
    request: TrainRequest,
    circumstances: Circumstances,
    trained: TrainedModel,
    evaluation: Evaluation,
    *,
    data: Mapping[str, Any],
    stored: StoredFile,
    model_path: str,
    model_id: str,
    now: datetime,
) -> dict[str, Any]:
    """Return the result document of a training that succeeded (JSON-able)."""
    resumed = trained.resumed_from_epoch
    return {
        "status": "success",
        "model_type": request.model_type,
        "symbol": request.symbol,
        "timeframe": request.timeframe,
        "training_results": {
            "final_loss": trained.final_loss,
            "validation_loss": trained.validation_loss,
            "val_accuracy": evaluation.accuracy,
            "baseline_accuracy": evaluation.baseline_accuracy,
            "skill": evaluation.skill,
            "skill_interval": [evaluation.skill_low, evaluation.skill_high],
            "edge": evaluation.edge,
            "bars": evaluation.bars,
            "quantile_coverage_pct": evaluation.quantile_coverage_pct,
            "training_time_seconds": round(trained.training_time_seconds, 3),
            "epochs_completed": trained.epochs_completed,
            "best_epoch": trained.best_epoch,
            # The first epoch that this try trained itself, as the specification counts.
            "resumed_from_epoch": None if resumed is None else resumed + 1,
            "device": trained.device,
            "batch_size": circumstances.config.batch_size,
        },
        "model_path": model_path,
        "model_file": stored.to_dict(),
        "model_id": model_id,
        "data": dict(data),
        "batch_size": circumstances.config.batch_size,
        "batch_size_asked": request.config.batch_size,
        "device": trained.device,
        "warnings": list(circumstances.warnings),
        **circumstances.start,
        "resumed_from": dict(circumstances.resumed_from) if circumstances.resumed_from else None,
        "resume_reason": circumstances.resume_reason,
        "peak_memory_mb": peak_memory_mb(),
        "seed": request.config.seed,
        "versions": training_versions(),
        "task_id": request.task_id,
        "timestamp": _iso(now),
    }


def failure_result(
    request: TrainRequest, error: BaseException, *, retry_count: int, max_retries: int, now: datetime | None = None
) -> dict[str, Any]:
    """Return the answer of a training that is given up, as the specification shapes it."""
    return {
        "status": "failed",
        "error": str(error),
        "error_type": type(error).__name__,
        "model_type": request.model_type,
        "symbol": request.symbol,
        "task_id": request.task_id,
        "retry_count": retry_count,
        "max_retries": max_retries,
        "timestamp": _iso(now or datetime.now(UTC)),
    }


def training_account(
    request: TrainRequest, circumstances: Circumstances, trained: TrainedModel, data: Mapping[str, Any]
) -> dict[str, Any]:
    """Return how the model was made, for its registry document."""
    return {
        "config": circumstances.config.to_dict(),
        **circumstances.start,
        "epochs": trained.epochs_completed,
        "best_epoch": trained.best_epoch,
        "seconds": trained.training_time_seconds,
        "seed": request.config.seed,
        "device": trained.device,
        "data": dict(data),
        "versions": training_versions(),
        "dag_id": request.dag_id,
    }


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
