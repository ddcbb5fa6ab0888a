"""Continuing the checkpoint of an earlier run that did not finish.

The earlier run must be over. Its job document is claimed by one compare-and-set and its checkpoint files are renamed
to the new run's, so that two runs never continue the same training. A run that diverged is not continued: with the
same parameters it would diverge again, and a model is one of one set of parameters.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pymongo import DESCENDING

from include.ml.checkpoints import CheckpointStore, checkpoint_name
from include.ml.training_job import PinnedData
from include.store.collections import TRAINING_JOBS
from include.store.outage import mongo_outage

if TYPE_CHECKING:
    from pymongo.database import Database

    from include.ml.train_request import TrainRequest

logger = logging.getLogger(__name__)

RunIsOver = Callable[[str, str], bool]
"""Asked with DAG id and run id: has that run ended?"""

UNFINISHED = ("running", "failed", "cancelled")
SAME_PARAMETERS = (
    "model_type", "learning_rate", "validation_split", "target", "seed", "window", "size", "deterministic",
)  # fmt: skip
"""Must be equal; epochs, batch size and patience may change."""
MOST_LOOKED_AT = 50


@dataclass(frozen=True)
class EarlierRun:
    """An earlier run whose checkpoints are this run's now.

    `epoch` is the number of finished epochs; `start` what it started from (`StartingPoint.to_dict`), `pinned` the
    candles it worked on, `epoch_metrics` what its job document knows of the epochs.
    """

    run_id: str
    epoch: int
    pinned: PinnedData
    start: Mapping[str, Any]
    epoch_metrics: tuple[Mapping[str, Any], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return what job and result say of it."""
        return {"run_id": self.run_id, "epoch": self.epoch}


def continue_earlier_run(
    db: Database[dict[str, Any]], request: TrainRequest, checkpoint_dir: Path, run_is_over: RunIsOver
) -> EarlierRun | str:
    """Take the newest fitting checkpoint of an earlier run over, or say in one line why there is none.

    Called again by a later try of the same run it returns the same earlier run.

    :raises ServiceUnavailableError: while MongoDB is away.
    :raises OSError: when the checkpoint files cannot be renamed.
    """
    refused: list[str] = []
    for job in _candidates(db, request):
        store = _checkpoints(checkpoint_dir, request, job["run_id"])
        claimed = job.get("continued_by") == request.task_id
        reason = None if claimed else _reason_against(job, request, store, run_is_over)
        if reason is not None:
            refused.append(f"{job['run_id']} {reason}")
            continue
        if not _claim(db, job["_id"], request.task_id):
            refused.append(f"{job['run_id']} was continued by another run")
            continue
        mine = _checkpoints(checkpoint_dir, request, request.task_id)
        mine.take_over(store)
        if not mine.epochs():
            refused.append(f"{job['run_id']} has no checkpoint any more")
            continue
        logger.info("Continuing run %s behind its epoch %d", job["run_id"], mine.epochs()[-1])
        return EarlierRun(
            job["run_id"],
            mine.epochs()[-1],
            PinnedData(int(job["pinned_data"]["end_ms"]), str(job["pinned_data"]["sha256"])),
            {name: job.get(name) for name in ("started_from", "started_from_reason")},
            tuple(job.get("epoch_metrics") or ()),
        )
    place = f"{request.model_type} {request.symbol} {request.timeframe}"
    if not refused:
        return f"from the beginning: there is no unfinished training of {place} to resume"
    return f"from the beginning: no unfinished training of {place} can be resumed ({'; '.join(refused[:3])})"


def _candidates(db: Database[dict[str, Any]], request: TrainRequest) -> list[dict[str, Any]]:
    """Return the unfinished jobs of the same network, symbol, timeframe and DAG, the claimed one first, then newest."""
    with mongo_outage(f"looking for an unfinished training of {request.model_type} {request.symbol}"):
        jobs = list(
            db[TRAINING_JOBS]
            .find(
                {
                    "model_type": request.model_type,
                    "symbol": request.symbol,
                    "timeframe": request.timeframe,
                    "dag_id": request.dag_id,
                    "status": {"$in": list(UNFINISHED)},
                    "pinned_data": {"$exists": True},
                    "run_id": {"$ne": request.task_id},
                    "continued_by": {"$in": [None, request.task_id]},
                }
            )
            .sort("created_at", DESCENDING)
            .limit(MOST_LOOKED_AT)
        )
    return sorted(jobs, key=lambda job: job.get("continued_by") is None)


def _reason_against(
    job: Mapping[str, Any], request: TrainRequest, store: CheckpointStore, run_is_over: RunIsOver
) -> str | None:
    """Return why this run is not continued, or None."""
    config = request.config.to_dict()
    for name in SAME_PARAMETERS:
        if job["config"].get(name) != config[name]:
            return f"had another {name} ({job['config'].get(name)})"
    if job["days_of_data"] != request.days_of_data:
        return f"had another days_of_data ({job['days_of_data']})"
    if job.get("error_type") == "TrainingDivergedError":
        return "diverged and would do so again: use a smaller learning_rate"
    if not store.epochs():
        return "has no checkpoint"
    if store.epochs()[-1] > request.config.epochs:
        return f"has finished {store.epochs()[-1]} epochs already, more than the {request.config.epochs} asked for"
    if not run_is_over(job["dag_id"], job["run_id"]):
        return "is still running"
    return None


def _claim(db: Database[dict[str, Any]], job_id: str, run_id: str) -> bool:
    with mongo_outage(f"claiming the checkpoint of {job_id}"):
        claimed = db[TRAINING_JOBS].update_one(
            {"_id": job_id, "continued_by": {"$in": [None, run_id]}}, {"$set": {"continued_by": run_id}}
        )
    return claimed.matched_count == 1


def _checkpoints(folder: Path, request: TrainRequest, run_id: str) -> CheckpointStore:
    return CheckpointStore(folder, checkpoint_name(request.model_type, request.symbol, request.timeframe, run_id))
