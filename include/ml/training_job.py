"""The document of a training in `training_jobs`: what was asked, how it went, what came out.

Every write carries the try number; an older try that is still alive writes nothing over a newer one's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from include.ml.train_request import TrainRequest
from include.ml.versions import training_versions
from include.store.collections import TRAINING_JOBS
from include.store.outage import mongo_outage
from include.store.results import store_result, update_result

if TYPE_CHECKING:
    from pymongo.database import Database

__all__ = ["JobStatus", "PinnedData", "TrainRequest", "TrainingJob"]

JobStatus = Literal["queued", "running", "completed", "failed", "cancelled"]
PIN_MAX_AGE = timedelta(days=1)
"""A retry continues on the first try's candles for so long; after that fresh ones are worth a new start."""


@dataclass(frozen=True)
class PinnedData:
    """The candles that an earlier try of the same training has used."""

    end_ms: int
    sha256: str


class TrainingJob:
    """Writes one job document, step by step."""

    def __init__(
        self, db: Database[dict[str, Any]], request: TrainRequest, now: Callable[[], datetime] | None = None
    ) -> None:
        self._db = db
        self._request = request
        self._now = now or (lambda: datetime.now(UTC))
        self._document: dict[str, Any] = {}
        self.epoch_metrics: list[dict[str, Any]] = []
        """Metrics of the epochs so far, those of earlier tries included."""

    @property
    def recorded_start(self) -> dict[str, Any] | None:
        """What an earlier try of this run started from; None before that was decided."""
        names = ("started_from", "started_from_reason")
        return {name: self._document[name] for name in names} if names[1] in self._document else None

    def queue(self) -> None:
        """Write the document as `queued`, before any worker has it.

        A run that is cleared and starts again keeps the try number of its document: tries count on.
        """
        self._begin("queued")

    def start(self) -> PinnedData | None:
        """Write the document as `running`; returns the candles that an interrupted earlier try worked on.

        :raises FencedError: when a newer try has written already.
        """
        before = self._begin("running")
        pinned = before.get("pinned_data")
        if not pinned or before.get("status") == "completed" or self._now() - pinned["at"] > PIN_MAX_AGE:
            return None
        self.epoch_metrics = list(before.get("epoch_metrics") or [])
        return PinnedData(int(pinned["end_ms"]), str(pinned["sha256"]))

    def continue_earlier(self, earlier: Mapping[str, Any], epoch_metrics: Sequence[Mapping[str, Any]]) -> None:
        """Record which run this one continues, and the metrics of that one's epochs."""
        self.epoch_metrics = [dict(metrics) for metrics in epoch_metrics if metrics["epoch"] <= earlier["epoch"]]
        self._update({"resumed_from": dict(earlier), "epoch_metrics": self.epoch_metrics})

    def use_start(self, start: Mapping[str, Any]) -> None:
        """Record what the training starts from (`StartingPoint.to_dict`)."""
        self._update(start)

    def use_data(self, data: Mapping[str, Any], pinned: PinnedData) -> None:
        """Record which candles the training reads; the age of the pin counts from their first use."""
        known = self._document.get("pinned_data") or {}
        same = (known.get("end_ms"), known.get("sha256")) == (pinned.end_ms, pinned.sha256)
        at = known["at"] if same else self._now()
        self._update({"data": dict(data), "pinned_data": {**asdict(pinned), "at": at}})

    def add_epoch(self, metrics: Mapping[str, Any], *, write: bool) -> None:
        """Remember an epoch's metrics (`epoch` counts from 1; a repeated epoch replaces the former); maybe write."""
        self.epoch_metrics = [known for known in self.epoch_metrics if known["epoch"] < metrics["epoch"]]
        self.epoch_metrics.append(dict(metrics))
        if write:
            self._update({"epoch_metrics": self.epoch_metrics})

    def complete(self, result: Mapping[str, Any], epochs: Sequence[Mapping[str, Any]] = ()) -> None:
        """Write the result and the status `completed`.

        :param epochs: the metrics of every epoch, where :meth:`add_epoch` may have missed some of a killed try.
        """
        if epochs:
            self.epoch_metrics = [dict(metrics) for metrics in epochs]
        self._finish(
            "completed",
            {
                "result": dict(result),
                "training_results": result["training_results"],
                "val_accuracy": result["training_results"]["val_accuracy"],
                "model_id": result["model_id"],
                "model_path": result["model_path"],
                "epoch_metrics": self.epoch_metrics,
                "error": None,
                "error_type": None,
            },
        )

    def fail(self, error: BaseException) -> None:
        """Write the status `failed` with the error's message and class; one that was cancelled stays so."""
        self._update({"epoch_metrics": self.epoch_metrics})
        request, name = self._request, type(error).__name__
        close_job(self._db, request.job_id, "failed", str(error), name, self._now(), request.try_number)

    def _begin(self, status: JobStatus) -> dict[str, Any]:
        request, at = self._request, self._now()
        with mongo_outage(f"reading the training job {request.job_id}"):
            before = self._db[TRAINING_JOBS].find_one({"_id": request.job_id}) or {}
        earlier = ("pinned_data", "data", "epoch_metrics", "created_at", "started_from", "started_from_reason")
        kept: dict[str, Any] = {name: before[name] for name in earlier if name in before}
        self._document = {
            "created_at": at,
            **kept,
            "run_id": request.task_id,
            "dag_id": request.dag_id,
            "model_type": request.model_type,
            "symbol": request.symbol,
            "timeframe": request.timeframe,
            "days_of_data": request.days_of_data,
            "config": request.config.to_dict(),
            "seed": request.config.seed,
            "requested_by": request.requested_by,
            "versions": training_versions(),
            "status": status,
            "history": [*before.get("history", []), self._entry(status, at)],
        }
        if status == "running":
            self._document["started_at"] = at
        try_number = max(request.try_number, before.get("try_number", 0)) if status == "queued" else request.try_number
        store_result(self._db, TRAINING_JOBS, request.job_id, self._document, try_number)
        return before

    def _finish(self, status: JobStatus, changes: Mapping[str, Any]) -> None:
        at = self._now()
        history = [*self._document.get("history", []), self._entry(status, at)]
        self._update({**changes, "status": status, "finished_at": at, "history": history})

    def _entry(self, status: JobStatus, at: datetime) -> dict[str, Any]:
        return {"status": status, "at": at, "try_number": self._request.try_number}

    def _update(self, changes: Mapping[str, Any]) -> None:
        update_result(self._db, TRAINING_JOBS, self._request.job_id, changes, self._request.try_number)


def close_job(
    db: Database[dict[str, Any]],
    job_id: str,
    status: JobStatus,
    error: str,
    error_type: str,
    at: datetime,
    try_number: int,
) -> bool:
    """End a job document that is queued or running, and return whether it was.

    Only the status and what belongs to it is written, so that this may be called from another thread or process than
    the training's.

    :param try_number: a newer try than that is left alone.
    """
    with mongo_outage(f"ending the training job {job_id}"):
        changed = db[TRAINING_JOBS].update_one(
            {"_id": job_id, "status": {"$in": ["queued", "running"]}, "try_number": {"$not": {"$gt": try_number}}},
            {
                "$set": {
                    "status": status,
                    "error": error,
                    "error_type": error_type,
                    "finished_at": at,
                    "updated_at": at,
                },
                "$push": {"history": {"status": status, "at": at, "try_number": try_number}},
            },
        )
    return changed.modified_count == 1


CANCELLED = "the run was cancelled; start train_model again with the same parameters and resume=true to continue"


def cancel_jobs(db: Database[dict[str, Any]], run_id: str, at: datetime) -> int:
    """Mark what a cancelled run was training as `cancelled`; return how many job documents that were."""
    with mongo_outage(f"looking up the training jobs of run {run_id}"):
        jobs = list(db[TRAINING_JOBS].find({"run_id": run_id, "status": {"$in": ["queued", "running"]}}))
    return sum(close_job(db, job["_id"], "cancelled", CANCELLED, "Cancelled", at, job["try_number"]) for job in jobs)


def close_abandoned_jobs(
    db: Database[dict[str, Any]], model_type: str, symbol: str, run_is_over: Callable[[str, str], bool], at: datetime
) -> int:
    """End the job documents of runs that are over but could not say so (killed, or cancelled while waiting).

    :param run_is_over: asked with DAG id and run id.
    """
    open_jobs = {"model_type": model_type, "symbol": symbol, "status": {"$in": ["queued", "running"]}}
    with mongo_outage(f"looking for abandoned training jobs of {model_type} {symbol}"):
        jobs = list(db[TRAINING_JOBS].find(open_jobs))
    why = "the run ended without a word: it was killed, or cancelled before its training began"
    return sum(
        close_job(db, job["_id"], "cancelled", why, "Abandoned", at, job["try_number"])
        for job in jobs
        if run_is_over(job["dag_id"], job["run_id"])
    )
