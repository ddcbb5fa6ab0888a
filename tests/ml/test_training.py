"""The training loop with small networks: choice of the epoch, stopping, divergence, resuming in one process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from include.errors import BadInputError, FencedError
from include.market.candles import Candles
from include.ml.checkpoint_file import Checkpoint
from include.ml.checkpoints import CheckpointStore
from include.ml.config import MODEL_TYPES, ModelType, TrainingConfig
from include.ml.dataset import Dataset, build_dataset
from include.ml.errors import TrainingDivergedError, TrainingInterruptedError
from include.ml.training import Progress, TrainedModel, train
from tests.ml.series import random_walk

CONFIG = TrainingConfig("lstm", epochs=4, size="small", window=8, learning_rate=0.01)
CANDLES = random_walk(500 + 175, seed=3)


def data(config: TrainingConfig = CONFIG, candles: Candles = CANDLES) -> Dataset:
    return build_dataset(candles, config, bars=500)


def weights(trained: TrainedModel) -> np.ndarray:
    return np.concatenate([np.ravel(variable) for variable in trained.model.trainable_variables])


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainedModel, CheckpointStore]:
    """A training that nothing interrupts, and the checkpoints of its epochs 3 and 4: most tests compare with it."""
    store = CheckpointStore(tmp_path_factory.mktemp("uninterrupted"), "run")
    return train(data(), CONFIG, checkpoints=store), store


@pytest.fixture
def uninterrupted(trained_once: tuple[TrainedModel, CheckpointStore]) -> TrainedModel:
    return trained_once[0]


def only(epoch: int, store: CheckpointStore, folder: Path) -> CheckpointStore:
    """Return a store with one checkpoint of another, as if the training had been interrupted after it."""
    copy = CheckpointStore(folder / f"only_{epoch}", "run")
    copy.save(store.load(epoch))
    return copy


@pytest.fixture
def after_three(trained_once: tuple[TrainedModel, CheckpointStore], tmp_path: Path) -> CheckpointStore:
    """What is left of the same training when it is interrupted after epoch 3 of 4."""
    return only(3, trained_once[1], tmp_path)


@pytest.mark.critical
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_every_type_trains_and_reports_every_epoch(model_type: ModelType) -> None:
    config = replace(CONFIG, model_type=model_type, epochs=2)
    heard: list[Progress] = []
    trained = train(data(config), config, on_epoch=heard.append)
    assert [progress.epoch for progress in heard] == [1, 2]
    assert [progress.percent for progress in heard] == [50.0, 100.0]
    assert trained.epochs_completed == 2
    assert trained.resumed_from_epoch is None
    assert trained.final_loss == heard[-1].loss
    assert 0.0 <= heard[-1].inner_accuracy <= 1.0
    assert trained.device in {"cpu", "gpu"}
    assert trained.training_time_seconds > 0


def test_the_best_epoch_is_chosen_on_the_inner_slice_and_its_weights_are_restored(uninterrupted: TrainedModel) -> None:
    losses = [result.validation_loss for result in uninterrupted.history]
    assert uninterrupted.best_epoch == 1 + int(np.argmin(losses))
    assert uninterrupted.validation_loss == min(losses)
    until_best = replace(CONFIG, epochs=uninterrupted.best_epoch)
    np.testing.assert_array_equal(weights(train(data(), until_best)), weights(uninterrupted))


@pytest.mark.critical
def test_candles_after_the_training_end_change_no_weight_and_no_choice(uninterrupted: TrainedModel) -> None:
    later = CANDLES.open_time >= data().spec.training_end_ms
    other = random_walk(len(CANDLES), seed=55)
    mixed = {
        name: np.where(later, 2.0 * getattr(other, name), getattr(CANDLES, name))
        for name in ("open", "high", "low", "close", "volume")
    }
    trained = train(data(candles=replace(CANDLES, **mixed)), CONFIG)
    np.testing.assert_array_equal(weights(trained), weights(uninterrupted))
    assert trained.best_epoch == uninterrupted.best_epoch


def test_how_the_batches_are_cut_into_native_calls_changes_nothing(
    uninterrupted: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.ml.stepper.CHUNK_SECONDS", 0.0)
    trained = train(data(), CONFIG)
    np.testing.assert_array_equal(weights(trained), weights(uninterrupted))
    assert [result.loss for result in trained.history] == [result.loss for result in uninterrupted.history]


def test_a_step_compiled_with_xla_learns_the_same_and_resumes_exactly(
    uninterrupted: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.ml.stepper.XLA_MIN_SAMPLES", 0)
    store = CheckpointStore(tmp_path, "run")
    straight = train(data(), CONFIG, checkpoints=store)
    for mine, plain in zip(straight.history, uninterrupted.history, strict=True):
        assert mine.validation_loss == pytest.approx(plain.validation_loss, rel=0.02)  # other dropout masks
    resumed = train(data(), CONFIG, checkpoints=only(3, store, tmp_path))
    assert resumed.resumed_from_epoch == 3
    np.testing.assert_array_equal(weights(resumed), weights(straight))


def test_tc_async_005_stopping_leaves_the_last_finished_epoch_and_resuming_ends_with_the_same_weights(
    uninterrupted: TrainedModel, tmp_path: Path
) -> None:
    store = CheckpointStore(tmp_path, "run")
    with pytest.raises(TrainingInterruptedError, match="after 2 of 4 epochs") as stopped:
        train(data(), CONFIG, checkpoints=store, should_stop=lambda: store.epochs()[-1:] == [2])
    assert stopped.value.epochs_completed == 2
    assert store.epochs() == [1, 2]
    resumed = train(data(), CONFIG, checkpoints=store)
    assert resumed.resumed_from_epoch == 2
    assert resumed.epochs_completed == 4
    assert resumed.best_epoch == uninterrupted.best_epoch
    assert [result.loss for result in resumed.history] == [result.loss for result in uninterrupted.history]
    np.testing.assert_array_equal(weights(resumed), weights(uninterrupted))


def test_the_dropout_of_an_epoch_depends_on_seed_and_epoch_alone(
    uninterrupted: TrainedModel, after_three: CheckpointStore
) -> None:
    saved = after_three.load(3)
    other_generators = {
        name: array + 1 if name.startswith("model/") and np.issubdtype(array.dtype, np.integer) else array
        for name, array in saved.arrays.items()
    }
    assert any(other_generators[name] is not array for name, array in saved.arrays.items())
    after_three.save(Checkpoint(3, saved.state, other_generators))
    resumed = train(data(), CONFIG, checkpoints=after_three)
    assert resumed.resumed_from_epoch == 3
    np.testing.assert_array_equal(weights(resumed), weights(uninterrupted))


def test_a_finished_training_found_again_is_not_repeated(
    uninterrupted: TrainedModel, trained_once: tuple[TrainedModel, CheckpointStore]
) -> None:
    heard: list[Progress] = []
    again = train(data(), CONFIG, checkpoints=trained_once[1], on_epoch=heard.append)
    assert heard == []
    assert (again.resumed_from_epoch, again.epochs_completed) == (4, 4)
    np.testing.assert_array_equal(weights(again), weights(uninterrupted))


def test_a_checkpoint_of_other_candles_or_parameters_is_not_continued(
    trained_once: tuple[TrainedModel, CheckpointStore], tmp_path: Path
) -> None:
    short, other = replace(CONFIG, epochs=1), data(candles=random_walk(675, seed=4))
    for number, (dataset, config) in enumerate([(other, short), (data(), replace(short, learning_rate=0.002))]):
        store = only(3, trained_once[1], tmp_path / str(number))
        trained = train(dataset, config, checkpoints=store)
        assert (trained.resumed_from_epoch, trained.epochs_completed) == (None, 1)


def test_tc_async_003_after_an_out_of_memory_error_a_smaller_batch_continues(tmp_path: Path) -> None:
    import tensorflow as tf

    store = CheckpointStore(tmp_path, "run")

    def exhausted(progress: Progress) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    with pytest.raises(MemoryError, match="batch_size=64; halve it"):
        train(data(), CONFIG, checkpoints=store, on_epoch=exhausted)
    half = CONFIG.with_half_batch()
    assert half is not None
    assert train(data(), half, checkpoints=store).resumed_from_epoch == 1


def test_early_stopping_ends_the_training_the_given_epochs_after_the_best_one() -> None:
    config = replace(CONFIG, epochs=60, early_stopping_patience=2, learning_rate=0.05)
    trained = train(data(config), config)
    assert trained.epochs_completed < 60
    assert trained.epochs_completed == trained.best_epoch + 2


@pytest.mark.critical
def test_tc_async_009_a_loss_ten_times_the_first_ends_the_training_and_keeps_the_last_good_checkpoint(
    after_three: CheckpointStore,
) -> None:
    good = after_three.load(3)
    small = [{**result, "loss": result["loss"] / 100} for result in good.state["history"]]
    after_three.save(Checkpoint(3, {**good.state, "history": small}, good.arrays))
    with pytest.raises(TrainingDivergedError, match=r"Training diverged: loss increased 10x.* in epoch 4") as failed:
        train(data(), CONFIG, checkpoints=after_three)
    assert isinstance(failed.value, BadInputError)
    assert after_three.epochs() == [3]


def test_tc_async_009_a_loss_that_is_no_number_ends_the_training(tmp_path: Path) -> None:
    store, dataset = CheckpointStore(tmp_path, "run"), data()
    poisoned = dataset.label.copy()
    poisoned[dataset.fit[7]] = np.nan
    with pytest.raises(TrainingDivergedError, match="loss is not a number in epoch 1; use a smaller learning_rate"):
        train(replace(dataset, label=poisoned), CONFIG, checkpoints=store)
    assert store.epochs() == []


def test_a_newer_try_ends_the_training_at_its_next_checkpoint(tmp_path: Path) -> None:
    def taken_over() -> None:
        raise FencedError("try 2 of run x owns it")

    with pytest.raises(FencedError):
        train(data(), CONFIG, checkpoints=CheckpointStore(tmp_path, "run", guard=taken_over))
    assert list(tmp_path.iterdir()) == []
