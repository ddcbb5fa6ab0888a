"""The document of a training in `training_jobs`: what was asked, how it went, what came out.

Every write carries the try number; an older try that is still alive writes nothing over a newer one's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from include.ml.config import TrainingConfig
from include.ml.versions import training_versions
from include.store.collections import TRAINING_JOBS
from include.store.outage import mongo_outage
from include.store.results import store_result, update_result

if TYPE_CHECKING:
    from pymongo.database import Database

JobStatus = Literal["queued", "running", "completed", "failed"]
PIN_MAX_AGE = timedelta(days=1)
"""A retry continues on the first try's candles for so long; after that fresh ones are worth a new start."""


@dataclass(frozen=True)
class TrainRequest:
    """One training that a run asks for.

    :param days_of_data: newest days of candles that become samples.
    :param task_id: the DAG run id. `try_number` grows with every try of that run and fences the older ones off.
    :param shared_run: whether the run trains several model types (then each has its own job document).
    :param max_candle_age_bars: refuse candles whose newest one closed longer ago than that; None takes any.
    """

    symbol: str
    timeframe: str
    days_of_data: int
    config: TrainingConfig
    task_id: str
    try_number: int = 1
    dag_id: str = "train_model"
    shared_run: bool = False
    max_candle_age_bars: int | None = None

    @property
    def model_type(self) -> str:
        """`lstm`, `gru` or `transformer`."""
        return self.config.model_type

    @property
    def job_id(self) -> str:
        """`_id` of the job document: the task id, with the model type where a run trains several."""
        return f"{self.task_id}:{self.model_type}" if self.shared_run else self.task_id


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

    def queue(self) -> None:
        """Write the document as `queued`, before any worker has it."""
        self._begin("queued")

    def start(self) -> PinnedData | None:
        """Write the document as `running`; returns the candles that an interrupted earlier try worked on.

        :raises FencedError: when a newer try has written already.
        """
        before = self._begin("running")
        pinned = before.get("pinned_data")
        at: datetime | None = before.get("started_at")
        if not pinned or at is None or before.get("status") == "completed" or self._now() - at > PIN_MAX_AGE:
            return None
        self.epoch_metrics = list(before.get("epoch_metrics") or [])
        return PinnedData(int(pinned["end_ms"]), str(pinned["sha256"]))

    def use_data(self, data: Mapping[str, Any], pinned: PinnedData) -> None:
        """Record which candles the training reads."""
        self._update({"data": dict(data), "pinned_data": asdict(pinned)})

    def add_epoch(self, metrics: Mapping[str, Any], *, write: bool) -> None:
        """Remember an epoch's metrics (`epoch` counts from 1; a repeated epoch replaces the former); maybe write."""
        self.epoch_metrics = [known for known in self.epoch_metrics if known["epoch"] < metrics["epoch"]]
        self.epoch_metrics.append(dict(metrics))
        if write:
            self._update({"epoch_metrics": self.epoch_metrics})

    def complete(self, result: Mapping[str, Any]) -> None:
        """Write the result and the status `completed`."""
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
        """Write the status `failed` with the error's message and class."""
        changes = {"error": str(error), "error_type": type(error).__name__, "epoch_metrics": self.epoch_metrics}
        self._finish("failed", changes)

    def _begin(self, status: JobStatus) -> dict[str, Any]:
        request, at = self._request, self._now()
        with mongo_outage(f"reading the training job {request.job_id}"):
            before = self._db[TRAINING_JOBS].find_one({"_id": request.job_id}) or {}
        earlier = ("pinned_data", "data", "epoch_metrics", "created_at")
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
            "versions": training_versions(),
            "status": status,
            "history": [*before.get("history", []), self._entry(status, at)],
        }
        if status == "running":
            self._document["started_at"] = at
        store_result(self._db, TRAINING_JOBS, request.job_id, self._document, request.try_number)
        return before

    def _finish(self, status: JobStatus, changes: Mapping[str, Any]) -> None:
        at = self._now()
        history = [*self._document.get("history", []), self._entry(status, at)]
        self._update({**changes, "status": status, "finished_at": at, "history": history})

    def _entry(self, status: JobStatus, at: datetime) -> dict[str, Any]:
        return {"status": status, "at": at, "try_number": self._request.try_number}

    def _update(self, changes: Mapping[str, Any]) -> None:
        update_result(self._db, TRAINING_JOBS, self._request.job_id, changes, self._request.try_number)
