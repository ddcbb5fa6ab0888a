"""The training loop: epochs, choice of the best one, checkpoints, resume, stopping. Loads TensorFlow only when run."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from include.ml.calibration import calibrate_band
from include.ml.checkpoint_file import Checkpoint
from include.ml.checkpoints import CheckpointStore
from include.ml.config import TrainingConfig
from include.ml.dataset import Dataset
from include.ml.errors import DeviceFailedError, TrainingDivergedError, TrainingInterruptedError
from include.ml.threads import configure_tensorflow

if TYPE_CHECKING:
    import keras

    from include.ml.stepper import Stepper

logger = logging.getLogger(__name__)

DIVERGED_FACTOR = 10.0


@dataclass(frozen=True)
class EpochResult:
    """One finished epoch. `loss` is the fit part's with dropout, the others are the inner slice's without."""

    epoch: int
    loss: float
    validation_loss: float
    inner_accuracy: float
    seconds: float


@dataclass(frozen=True)
class Progress:
    """What `on_epoch` hears after every epoch, once its checkpoint is on disk."""

    epoch: int
    epochs: int
    loss: float
    validation_loss: float
    inner_accuracy: float
    seconds: float
    best_epoch: int

    @property
    def percent(self) -> float:
        """Share of the epochs that are done, 0 to 100."""
        return 100.0 * self.epoch / self.epochs


@dataclass(frozen=True, eq=False)
class InitialWeights:
    """What a training starts from instead of chance: a model's `get_weights()`, and its id for the fingerprint."""

    model_id: str
    weights: Sequence[NDArray[Any]]


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A finished training; `model` carries the weights of `best_epoch`, its band calibrated.

    `final_loss` is the last epoch's loss on the fit part, `validation_loss` the best epoch's on the inner slice.
    `epochs_completed` counts all epochs of the run, those before a resume included; `resumed_from_epoch` is the
    number of epochs that the checkpoint held, None without one. `training_time_seconds` sums the epochs.
    """

    model: keras.Model
    history: tuple[EpochResult, ...]
    best_epoch: int
    epochs_completed: int
    resumed_from_epoch: int | None
    training_time_seconds: float
    final_loss: float
    validation_loss: float
    device: str


@dataclass
class _Run:
    """What changes while the epochs pass."""

    history: list[EpochResult] = field(default_factory=list)
    best_epoch: int = 0
    best_loss: float = math.inf
    best_weights: list[NDArray[Any]] = field(default_factory=list)

    @property
    def epoch(self) -> int:
        return len(self.history)


def train(
    dataset: Dataset,
    config: TrainingConfig,
    *,
    initial: InitialWeights | None = None,
    checkpoints: CheckpointStore | None = None,
    on_epoch: Callable[[Progress], None] | None = None,
    on_chunk: Callable[[int, float], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    cpu_only: bool = False,
) -> TrainedModel:
    """Train a network on the dataset's fit part and return it with the weights of its best epoch.

    The epoch with the lowest loss on the inner slice is the best, and its band is calibrated there (`calibration.py`);
    with `early_stopping_patience` the training ends that many epochs after it. With `checkpoints` every epoch is saved,
    and a training that finds a checkpoint of the same data and parameters continues after it, to the same weights as if
    never interrupted (bit for bit with `deterministic`). The batch size may have changed in between (out-of-memory
    halving).

    :param initial: weights to start from; the dataset must be scaled as that model's was.
    :param on_chunk: called about four times a second with the finished epochs and the share of the running one; may
        raise.
    :param should_stop: asked about four times a second.
    :param cpu_only: leave a GPU alone.
    :raises TrainingDivergedError: when an epoch's loss exceeds ten times the first one's or is no number.
    :raises TrainingInterruptedError: when `should_stop` said so.
    :raises MemoryError: when memory ran out; free what the failed attempt held, then try again with
        `config.with_half_batch()`.
    :raises DeviceFailedError: when the GPU failed; try again with `cpu_only`.
    """
    device = "cpu" if cpu_only else configure_tensorflow(config)
    import tensorflow as tf

    placement = tf.device("/CPU:0") if cpu_only else nullcontext()
    try:
        with placement:
            return _train(dataset, config, initial, checkpoints, on_epoch, on_chunk, should_stop, device)
    except tf.errors.ResourceExhaustedError as error:
        raise MemoryError(
            f"TensorFlow ran out of memory with batch_size={config.batch_size}; halve it ({error.message})"
        ) from error
    except tf.errors.OpError as error:
        if device != "gpu":
            raise
        raise DeviceFailedError(
            f"The GPU failed during the training ({type(error).__name__}: {error.message}); go on with the CPU"
        ) from error


def _train(
    dataset: Dataset,
    config: TrainingConfig,
    initial: InitialWeights | None,
    checkpoints: CheckpointStore | None,
    on_epoch: Callable[[Progress], None] | None,
    on_chunk: Callable[[int, float], None] | None,
    should_stop: Callable[[], bool] | None,
    device: str,
) -> TrainedModel:
    import keras

    from include.ml.networks import build_network
    from include.ml.stepper import Stepper

    model = build_network(config, dataset.spec, dataset.quantile_prior)
    if initial is not None:
        model.set_weights(initial.weights)
    optimizer = keras.optimizers.Adam(config.learning_rate)
    optimizer.build(model.trainable_variables)
    fingerprint = _fingerprint(dataset, config, initial)
    run = _Run(best_weights=_values(model.variables))
    resumed = _resume(checkpoints, fingerprint, run, model, optimizer)
    stepper = Stepper(model, optimizer, dataset, config)

    def between_chunks(share: float) -> None:
        if should_stop is not None and should_stop():
            raise TrainingInterruptedError(run.epoch, config.epochs)
        if on_chunk is not None:
            on_chunk(run.epoch, share)

    initial_loss = run.history[0].loss if run.history else stepper.evaluate(dataset.inner)[0]
    while run.epoch < config.epochs and not _patience_is_over(run, config):
        result = _one_epoch(stepper, dataset, run.epoch + 1, between_chunks)
        _refuse_divergence(result, initial_loss)
        run.history.append(result)
        initial_loss = run.history[0].loss
        if result.validation_loss < run.best_loss:
            run.best_epoch, run.best_loss = result.epoch, result.validation_loss
            run.best_weights = _values(model.variables)
        if checkpoints is not None:
            checkpoints.save(_checkpoint(fingerprint, run, model, optimizer))
        if on_epoch is not None:
            on_epoch(Progress(epochs=config.epochs, best_epoch=run.best_epoch, **asdict(result)))
    _assign(model.variables, run.best_weights)
    calibrate_band(model, dataset)
    return TrainedModel(
        model=model,
        history=tuple(run.history),
        best_epoch=run.best_epoch,
        epochs_completed=run.epoch,
        resumed_from_epoch=resumed,
        training_time_seconds=sum(result.seconds for result in run.history),
        final_loss=run.history[-1].loss,
        validation_loss=run.best_loss,
        device=device,
    )


def _one_epoch(stepper: Stepper, dataset: Dataset, epoch: int, between_chunks: Callable[[float], None]) -> EpochResult:
    started = time.perf_counter()
    loss = stepper.train_epoch(epoch, between_chunks)
    validation_loss, accuracy = stepper.evaluate(dataset.inner)
    return EpochResult(epoch, loss, validation_loss, accuracy, time.perf_counter() - started)


def _refuse_divergence(result: EpochResult, initial_loss: float) -> None:
    """Compare with the first epoch's loss (the first epoch itself: with the untrained network's)."""
    if not (math.isfinite(result.loss) and math.isfinite(result.validation_loss)):
        raise TrainingDivergedError(
            f"Training diverged: loss is not a number in epoch {result.epoch}; use a smaller learning_rate"
        )
    if result.loss > DIVERGED_FACTOR * initial_loss:
        raise TrainingDivergedError(
            f"Training diverged: loss increased 10x, from {initial_loss:.4f} at first to {result.loss:.4f} in epoch "
            f"{result.epoch}; use a smaller learning_rate"
        )


def _patience_is_over(run: _Run, config: TrainingConfig) -> bool:
    patience = config.early_stopping_patience
    return patience is not None and run.epoch > 0 and run.epoch - run.best_epoch >= patience


def _fingerprint(dataset: Dataset, config: TrainingConfig, initial: InitialWeights | None) -> dict[str, Any]:
    """Return what must be equal for a checkpoint to be continued; epochs, batch size and patience may change."""
    same = ("model_type", "size", "target", "seed", "window", "learning_rate", "validation_split")
    return {
        "candles_sha256": dataset.spec.candles_sha256,
        "fit_samples": dataset.spec.fit_samples,
        "features": list(dataset.spec.feature_names),
        "started_from": initial.model_id if initial else None,
        **{name: getattr(config, name) for name in same},
    }


def _checkpoint(fingerprint: dict[str, Any], run: _Run, model: Any, optimizer: Any) -> Checkpoint:
    state = {
        "fingerprint": fingerprint,
        "history": [asdict(result) for result in run.history],
        "best_epoch": run.best_epoch,
        "best_loss": run.best_loss,
    }
    groups = {"model": _values(model.variables), "optimizer": _values(optimizer.variables), "best": run.best_weights}
    arrays = {f"{group}/{at}": array for group, values in groups.items() for at, array in enumerate(values)}
    return Checkpoint(run.epoch, state, arrays)


def _resume(
    checkpoints: CheckpointStore | None, fingerprint: dict[str, Any], run: _Run, model: Any, optimizer: Any
) -> int | None:
    """Bring everything back to the newest checkpoint and return its epoch, or None without a fitting one."""
    checkpoint = checkpoints.load_latest() if checkpoints is not None else None
    if checkpoint is None:
        return None
    if checkpoint.state["fingerprint"] != fingerprint:
        logger.warning("The checkpoint of epoch %d is of other data or parameters: starting anew", checkpoint.epoch)
        return None

    def group(name: str, count: int) -> list[NDArray[Any]]:
        return [checkpoint.arrays[f"{name}/{at}"] for at in range(count)]

    _assign(model.variables, group("model", len(model.variables)))
    _assign(optimizer.variables, group("optimizer", len(optimizer.variables)))
    run.history = [EpochResult(**values) for values in checkpoint.state["history"]]
    run.best_epoch, run.best_loss = checkpoint.state["best_epoch"], checkpoint.state["best_loss"]
    run.best_weights = group("best", len(model.variables))
    return checkpoint.epoch


def _values(variables: list[Any]) -> list[NDArray[Any]]:
    return [np.array(variable.value.numpy()) for variable in variables]


def _assign(variables: list[Any], values: list[NDArray[Any]]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


__all__ = [
    "EpochResult",
    "InitialWeights",
    "Progress",
    "TrainedModel",
    "TrainingDivergedError",
    "TrainingInterruptedError",
    "train",
]
