"""One training from the candles to a registered candidate: what the tasks of the DAGs call."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.errors import FencedError, TradingOpsError
from include.ml.checkpoints import CheckpointStore, checkpoint_name
from include.ml.model_record import TrainedCandidate
from include.ml.reload_check import require_same_predictions
from include.ml.train_result import failure_result, success_result, training_account
from include.ml.training import train
from include.ml.training_data import TrainingData, load_training_data
from include.ml.training_job import TrainingJob, TrainRequest
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
    from pymongo.database import Database

    from include.market.candle_store import CandleStore
    from include.ml.evaluation import Evaluation
    from include.ml.model_files import ModelFileStore, StoredFile
    from include.ml.registry import ModelRegistry
    from include.ml.training import Progress, TrainedModel

logger = logging.getLogger(__name__)

__all__ = ["TrainRequest", "failure_result", "run_training"]


def run_training(
    request: TrainRequest,
    *,
    db: Database[dict[str, Any]],
    candle_store: CandleStore,
    files: ModelFileStore,
    registry: ModelRegistry,
    checkpoint_dir: Path,
    on_progress: ProgressCallback | None = None,
    should_stop: Callable[[], bool] | None = None,
    guard: Callable[[], None] | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> dict[str, Any]:
    """Train, measure on the hold-out, store the encrypted model and register it as a candidate.

    A try that follows an interrupted one continues at its checkpoint, on the same candles. When memory runs out
    the batch size is halved, down to 8. After a success the checkpoints are gone; after a failure the job document
    says so, and neither a model file nor a registry entry stays behind.

    :param checkpoint_dir: shared by all workers that may run the next try.
    :param on_progress: hears of every full percent; renew the claim on the training here.
    :param should_stop: asked several times a second; the checkpoint of the last epoch stays.
    :param guard: asked before anything is written; raises `FencedError` when a newer try owns the run.
    :returns: the result document (JSON-able).
    :raises BadInputError: corrupt or too few candles, or a training that diverged.
    :raises TrainingInterruptedError: when `should_stop` said so.
    :raises FencedError: when a newer try has taken over; nothing more is written then.
    :raises IntegrityError: when the stored file does not give the trained model's predictions.
    """
    job = TrainingJob(db, request, now)
    name = checkpoint_name(request.model_type, request.symbol, request.timeframe, request.task_id)
    progress = TrainingProgress(on_progress, request.config.epochs)
    steps = _Steps(request, job, files, registry, CheckpointStore(checkpoint_dir, name, guard), progress, guard, now)
    try:
        return steps.execute(candle_store, should_stop)
    except FencedError:
        raise
    except BaseException as error:
        try:
            job.fail(error)
        except TradingOpsError as unwritten:
            error.add_note(f"The job document could not be marked as failed: {unwritten}")
        raise


class _Steps:
    """The steps of one training, in their order."""

    def __init__(
        self,
        request: TrainRequest,
        job: TrainingJob,
        files: ModelFileStore,
        registry: ModelRegistry,
        checkpoints: CheckpointStore,
        progress: TrainingProgress,
        guard: Callable[[], None] | None,
        now: Callable[[], datetime],
    ) -> None:
        self._request, self._job, self._files, self._registry = request, job, files, registry
        self._checkpoints, self._progress, self._now = checkpoints, progress, now
        self._guard = guard or (lambda: None)
        self._config = request.config

    def execute(self, candle_store: CandleStore, should_stop: Callable[[], bool] | None) -> dict[str, Any]:
        pinned = self._job.start()
        self._progress.stage(INITIALIZING, "Initializing...")
        self._progress.stage(LOADING, "Loading data...")
        data = load_training_data(candle_store, self._request, pinned=pinned, now=self._now())
        self._job.use_data(data.description, data.pin)
        self._progress.stage(TRAINING, "Training...")
        trained = self._train(data, should_stop)
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
            self._config,
            trained,
            evaluation,
            data=data.description,
            stored=stored,
            model_path=str(self._files.path(stored.name, stored.sha256)),
            model_id=model_id,
            now=self._now(),
        )
        self._guard()
        self._job.complete(result)
        self._checkpoints.remove()
        self._progress.stage(COMPLETE, "Complete")
        return result

    def _train(self, data: TrainingData, should_stop: Callable[[], bool] | None) -> TrainedModel:
        def on_epoch(epoch: Progress) -> None:
            self._guard()
            news = self._progress.epoch(epoch.epoch, epoch.loss)
            metrics = {key: value for key, value in asdict(epoch).items() if key not in ("epochs", "best_epoch")}
            self._job.add_epoch(metrics, write=news)

        while True:
            try:
                return train(
                    data.dataset,
                    self._config,
                    checkpoints=self._checkpoints,
                    on_epoch=on_epoch,
                    should_stop=should_stop,
                )
            except MemoryError:
                smaller = self._config.with_half_batch()
                if smaller is None:
                    raise
                logger.warning("Out of memory: going on with a batch size of %d", smaller.batch_size)
                self._config = smaller

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
            training=training_account(request, self._config, trained, data.description),
            task_id=request.task_id,
            try_number=request.try_number,
        )
        registration = self._registry.register(candidate, self._now())
        if registration.superseded is not None:
            self._discard(registration.superseded)
        return registration.model_id

    def _discard(self, stored: StoredFile) -> None:
        """Remove a file that no model refers to; what cannot be removed now is left to the sweep."""
        with suppress(TradingOpsError, OSError):
            if not self._registry.refers_to_file(stored.name):
                self._files.remove(stored.name)


def _evaluate(data: TrainingData, trained: TrainedModel) -> Evaluation:
    from include.ml.predictor import score

    spec = data.dataset.spec
    return score(trained.model, spec, data.candles, start_ms=spec.split_ms, end_ms=spec.data_end_ms)
