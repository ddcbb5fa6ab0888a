"""One training from the candles to a registered candidate: what the tasks of the DAGs call."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.errors import FencedError, TradingOpsError
from include.ml.attempts import train_with_fallbacks
from include.ml.checkpoints import CheckpointStore, checkpoint_name
from include.ml.disk_space import disk_room, require_free_disk
from include.ml.earlier_run import EarlierRun, RunIsOver, continue_earlier_run
from include.ml.model_record import TrainedCandidate
from include.ml.reload_check import require_same_predictions
from include.ml.starting_point import StartingPoint, choose_start
from include.ml.time_limit import SoftLimit
from include.ml.train_result import Circumstances, failure_result, success_result, training_account
from include.ml.training import train
from include.ml.training_data import TrainingData, load_training_data
from include.ml.training_job import PinnedData, TrainingJob, TrainRequest
from include.ml.training_progress import (
    COMPLETE,
    EVALUATING,
    INITIALIZING,
    LOADING,
    SAVING,
    TRAINING,
    ProgressCallback,
    TrainingProgress,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymongo.database import Database

    from include.market.candle_store import CandleStore
    from include.ml.config import TrainingConfig
    from include.ml.evaluation import Evaluation
    from include.ml.light.weight_store import WeightStore
    from include.ml.model_files import ModelFileStore, StoredFile
    from include.ml.registry import ModelRegistry
    from include.ml.training import Progress, TrainedModel

logger = logging.getLogger(__name__)

CHECKED_WINDOWS = 256
"""Newest windows of the hold-out on which the plain weights must agree with the network."""

__all__ = ["TrainRequest", "failure_result", "run_training"]


def run_training(
    request: TrainRequest,
    *,
    db: Database[dict[str, Any]],
    candle_store: CandleStore,
    files: ModelFileStore,
    registry: ModelRegistry,
    checkpoint_dir: Path,
    weights: WeightStore | None = None,
    on_progress: ProgressCallback | None = None,
    on_step: Callable[[], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    guard: Callable[[], None] | None = None,
    run_is_over: RunIsOver = lambda _dag_id, _run_id: False,
    soft_limit_s: float | None = None,
    min_free_disk_gb: float = 0.0,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """Train, measure on the hold-out, store the encrypted model and register it as a candidate.

    A try that follows an interrupted one continues at its checkpoint, on the same candles; with `request.resume` that
    may be another run's. When memory runs out the batch size is halved, three times at most and down to 8; a GPU that
    fails is replaced by the CPU. After a success the checkpoints are gone; after a failure the job document says so,
    and neither a model file nor a registry entry stays behind.

    :param checkpoint_dir: in the state directory, shared by all workers that may run the next try.
    :param weights: where the plain weights for forecasts without TensorFlow go; None leaves them out.
    :param on_progress: hears of every full percent.
    :param on_step: called several times a second while the network trains; renew the claim on the training here.
    :param should_stop: asked several times a second; the checkpoint of the last epoch stays.
    :param guard: asked before anything is written; raises `FencedError` when a newer try owns the run.
    :param run_is_over: asked before another run's checkpoint is continued.
    :param soft_limit_s: seconds this try may train, counted from now.
    :param clock: what the soft limit is measured by, monotonic seconds.
    :param min_free_disk_gb: refuse to start with less free space (10^9 bytes) where the checkpoints lie.
    :returns: the result document (JSON-able).
    :raises BadInputError: corrupt or too few candles, or a training that diverged.
    :raises TrainingInterruptedError: when `should_stop` said so.
    :raises TrainingTimeLimitError: when the soft limit was reached; the checkpoint stays.
    :raises OutOfMemoryError: when the smallest batch did not fit either; the checkpoint stays.
    :raises DiskFullError: when there is too little room at the start, or none any more.
    :raises FencedError: when a newer try has taken over; nothing more is written then.
    :raises IntegrityError: when the stored file does not give the trained model's predictions.
    """
    job = TrainingJob(db, request, now)
    name = checkpoint_name(request.model_type, request.symbol, request.timeframe, request.task_id)
    progress = TrainingProgress(on_progress, request.config.epochs)
    loop = _Loop(SoftLimit(soft_limit_s, clock), progress, on_step or (lambda: None), should_stop)
    checkpoints = CheckpointStore(checkpoint_dir, name, guard)
    steps = _Steps(request, job, files, registry, weights, checkpoints, progress, loop, guard, now)
    try:
        require_free_disk(checkpoint_dir, min_free_disk_gb)
        with disk_room(checkpoint_dir):
            return steps.execute(candle_store, lambda: continue_earlier_run(db, request, checkpoint_dir, run_is_over))
    except FencedError:
        raise
    except BaseException as error:
        try:
            job.fail(error)
        except TradingOpsError as unwritten:
            error.add_note(f"The job document could not be marked as failed: {unwritten}")
        raise


@dataclass(frozen=True)
class _Loop:
    """What happens several times a second while the network trains."""

    limit: SoftLimit
    progress: TrainingProgress
    on_step: Callable[[], None]
    should_stop: Callable[[], bool] | None

    def on_chunk(self, epochs_done: int, share: float) -> None:
        self.limit.check(epochs_done, self.progress.total_epochs)
        self.on_step()
        self.progress.within(epochs_done, share)


class _Steps:
    """The steps of one training, in their order."""

    def __init__(
        self,
        request: TrainRequest,
        job: TrainingJob,
        files: ModelFileStore,
        registry: ModelRegistry,
        weights: WeightStore | None,
        checkpoints: CheckpointStore,
        progress: TrainingProgress,
        loop: _Loop,
        guard: Callable[[], None] | None,
        now: Callable[[], datetime],
    ) -> None:
        self._request, self._job, self._files, self._registry = request, job, files, registry
        self._weights, self._loop = weights, loop
        self._checkpoints, self._progress, self._now = checkpoints, progress, now
        self._guard = guard or (lambda: None)
        self._circumstances = Circumstances(request.config)

    def execute(self, candle_store: CandleStore, find_earlier: Callable[[], EarlierRun | str]) -> dict[str, Any]:
        pinned: PinnedData | None = self._job.start()
        recorded: Mapping[str, Any] | None = self._job.recorded_start
        self._progress.stage(INITIALIZING, "Initializing...")
        earlier = find_earlier() if self._request.resume else None
        if isinstance(earlier, EarlierRun):
            self._job.continue_earlier(earlier.to_dict(), earlier.epoch_metrics)
            pinned, recorded = pinned or earlier.pinned, recorded or earlier.start
        self._progress.stage(LOADING, "Loading data...")
        data = load_training_data(candle_store, self._request, pinned=pinned, now=self._now())
        start = self._start(data, recorded if data.pin == pinned else None)
        data = data.started_from(start, self._request.config)
        self._job.use_data(data.description, data.pin)
        self._progress.stage(TRAINING, "Training...")
        trained = self._train(data, start)
        self._note_resume(earlier, trained)
        self._progress.stage(EVALUATING, "Evaluating...")
        evaluation = _evaluate(data, trained)
        self._progress.stage(SAVING, "Saving model...")
        stored = self._save(data, trained)
        try:
            model_id = self._register(data, trained, evaluation, stored)
        except BaseException:
            self._discard(stored)
            raise
        result = success_result(
            self._request,
            self._circumstances,
            trained,
            evaluation,
            data=data.description,
            stored=stored,
            model_path=str(self._files.path(stored.name, stored.sha256)),
            model_id=model_id,
            now=self._now(),
        )
        self._guard()
        self._job.complete(result, [asdict(epoch) for epoch in trained.history])
        self._checkpoints.remove()
        self._progress.stage(COMPLETE, "Complete")
        return result

    def _start(self, data: TrainingData, recorded: Mapping[str, Any] | None) -> StartingPoint:
        start = choose_start(self._request, data.dataset.spec, self._registry, self._files, recorded)
        logger.info("Starting %s", start.reason)
        self._job.use_start(start.to_dict())
        self._circumstances.start = start.to_dict()
        return start

    def _note_resume(self, earlier: EarlierRun | str | None, trained: TrainedModel) -> None:
        """Say which run was continued, or why none was although it was asked for."""
        if isinstance(earlier, str):
            self._circumstances.resume_reason = earlier
        elif earlier is not None and trained.resumed_from_epoch is None:
            self._circumstances.resume_reason = (
                f"from the beginning: the candles of run {earlier.run_id} were corrected since, or its checkpoint is "
                "damaged"
            )
        elif earlier is not None:
            self._circumstances.resumed_from = earlier.to_dict()
        if self._circumstances.resume_reason:
            self._circumstances.warn(self._circumstances.resume_reason)

    def _train(self, data: TrainingData, start: StartingPoint) -> TrainedModel:
        def on_epoch(epoch: Progress) -> None:
            self._guard()
            news = self._progress.epoch(epoch.epoch, epoch.loss)
            metrics = {key: value for key, value in asdict(epoch).items() if key not in ("epochs", "best_epoch")}
            self._job.add_epoch(metrics, write=news)

        def attempt(config: TrainingConfig, cpu_only: bool) -> TrainedModel:
            return train(
                data.dataset,
                config,
                initial=start.initial,
                checkpoints=self._checkpoints,
                on_epoch=on_epoch,
                on_chunk=self._loop.on_chunk,
                should_stop=self._loop.should_stop,
                cpu_only=cpu_only,
            )

        return train_with_fallbacks(attempt, self._circumstances)

    def _save(self, data: TrainingData, trained: TrainedModel) -> StoredFile:
        from include.ml.predictor import save_model_bytes

        self._guard()
        request, content = self._request, save_model_bytes(trained.model)
        stored = self._files.save_model(request.model_type, request.symbol, request.timeframe, content, self._now())
        try:
            reloaded = self._files.load_stored(stored.name, stored.sha256)
            require_same_predictions(trained.model, reloaded, data.dataset.spec, data.candles, stored.name)
        except BaseException:
            self._discard(stored)
            raise
        return stored

    def _register(self, data: TrainingData, trained: TrainedModel, evaluation: Evaluation, stored: StoredFile) -> str:
        self._guard()
        request = self._request
        candidate = TrainedCandidate(
            model_type=request.model_type,
            symbol=request.symbol,
            timeframe=request.timeframe,
            file=stored,
            spec=data.dataset.spec.to_dict(),
            evaluation=evaluation.to_dict(),
            training=training_account(request, self._circumstances, trained, data.description),
            task_id=request.task_id,
            try_number=request.try_number,
            weights_sha256=self._save_weights(data, trained, stored),
            feature_distribution=data.feature_distribution(),
        )
        registration = self._registry.register(candidate, self._now())
        if registration.superseded is not None:
            self._discard(registration.superseded)
        return registration.model_id

    def _save_weights(self, data: TrainingData, trained: TrainedModel, stored: StoredFile) -> str | None:
        """Keep the weights as plain arrays too, after making sure that they say the same as the network."""
        if self._weights is None:
            return None
        from include.ml.light.agreement import require_light_agreement
        from include.ml.light.export import export_arrays

        arrays = export_arrays(trained.model)
        windows = data.dataset.windows(data.dataset.holdout[-CHECKED_WINDOWS:])
        require_light_agreement(trained.model, self._request.model_type, arrays, windows)
        self._guard()
        return self._weights.save(stored.name, arrays)

    def _discard(self, stored: StoredFile) -> None:
        """Remove a file that no model refers to; what cannot be removed now is left to the sweep."""
        with suppress(TradingOpsError, OSError):
            if not self._registry.refers_to_file(stored.name):
                self._files.remove(stored.name)
                if self._weights is not None:
                    self._weights.remove(stored.name)


def _evaluate(data: TrainingData, trained: TrainedModel) -> Evaluation:
    from include.ml.predictor import score

    spec = data.dataset.spec
    return score(trained.model, spec, data.candles, start_ms=spec.split_ms, end_ms=spec.data_end_ms)
