"""Memory that runs out and a GPU that fails: TensorFlow really raises, the training goes on at its checkpoint."""

from __future__ import annotations

import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.models.functional import Functional
from pymongo.database import Database

from include.errors import TradingOpsError
from include.ml.config import TrainingConfig
from include.ml.threads import NO_GPU
from tests.ml.training_room import CONFIG, REQUEST, Room

HUGE = 2**52
"""More float32 numbers than any machine has memory for: TensorFlow's allocator refuses them for real."""


@pytest.fixture
def room(db: Database[dict[str, Any]], market_data_dir: Path, tmp_path: Path) -> Room:
    made = Room(db, market_data_dir, tmp_path)
    made.candle_store.upsert(made.candles())
    return made


def allocate(wanted: np.int64) -> np.float32:
    """Refuse as NumPy does; TensorFlow makes a ResourceExhaustedError of it, as of its own allocator's refusal."""
    if wanted == HUGE:
        raise MemoryError(f"Unable to allocate {wanted} numbers")
    return np.float32(0.0)


def hungry(monkeypatch: pytest.MonkeyPatch, most: int, after: int = 0) -> list[int]:
    """Make Keras's LSTM ask for more memory than there is with batches above `most`, from call `after` on.

    Returns the batch sizes that networks were traced with while training.
    """
    call, traced, calls = keras.layers.LSTM.call, [], tf.Variable(0, trainable=False)

    def greedy(self: Any, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False) -> Any:
        batch = sequences.shape[0]
        if not training or batch is None:
            return call(self, sequences, initial_state=initial_state, mask=mask, training=training)
        traced.append(batch)
        count = calls.assign_add(1)
        wanted = tf.where(count > after, tf.constant(HUGE if batch > most else 1, tf.int64), tf.constant(1, tf.int64))
        hog = tf.numpy_function(allocate, [wanted], tf.float32)
        hog.set_shape(())
        return call(self, sequences + 0.0 * hog, initial_state=initial_state, mask=mask, training=training)

    monkeypatch.setattr(keras.layers.LSTM, "call", greedy)
    return traced


def asking(batch_size: int, **changes: Any) -> Any:
    config: TrainingConfig = replace(CONFIG, batch_size=batch_size, deterministic=False, **changes)
    return replace(REQUEST, config=config)


def test_tc_async_003_the_batch_is_halved_until_it_fits_from_the_last_checkpoint_on(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches_per_epoch = 4  # 484 samples in batches of 128
    traced = hungry(monkeypatch, most=32, after=2 * batches_per_epoch)
    networks: list[weakref.ref[Any]] = []
    left_over: list[int] = []
    init = Functional.__init__

    def counted(model: Any, *args: Any, **kwargs: Any) -> None:
        left_over.append(sum(known() is not None for known in networks))
        init(model, *args, **kwargs)
        networks.append(weakref.ref(model))

    monkeypatch.setattr(Functional, "__init__", counted)
    result = room.train(asking(128, epochs=3))
    assert list(dict.fromkeys(traced)) == [128, 64, 32]
    assert left_over[:3] == [0, 0, 0], "the network of a failed attempt was still in memory"
    assert (result["batch_size"], result["batch_size_asked"]) == (32, 128)
    assert result["training_results"]["batch_size"] == 32
    assert result["training_results"]["resumed_from_epoch"] == 3
    assert result["training_results"]["epochs_completed"] == 3
    assert "Out of memory: batch_size reduced from 128 to 64" in result["warnings"]
    assert "Out of memory: batch_size reduced from 64 to 32" in result["warnings"]
    assert room.registry.get(result["model_id"]).training["config"]["batch_size"] == 32
    assert [epoch["epoch"] for epoch in room.job()["epoch_metrics"]] == [1, 2, 3]
    assert room.job()["status"] == "completed"


@pytest.mark.parametrize(
    ("asked", "tried"),
    [pytest.param(1024, [1024, 512, 256, 128], marks=pytest.mark.long), (32, [32, 16, 8])],
)
def test_tc_async_003_after_three_halvings_or_a_batch_of_8_it_fails_with_the_remedy(
    room: Room, monkeypatch: pytest.MonkeyPatch, asked: int, tried: list[int]
) -> None:
    traced = hungry(monkeypatch, most=1)
    with pytest.raises(TradingOpsError) as failed:
        room.train(asking(asked, epochs=1))
    assert isinstance(failed.value, MemoryError)
    assert list(dict.fromkeys(traced)) == tried
    assert f"did not fit with a batch size of {tried[-1]} either (asked for {asked}" in str(failed.value)
    assert "resume=true" in str(failed.value)
    assert (room.job()["status"], room.job()["error_type"]) == ("failed", "OutOfMemoryError")
    assert room.nothing_half_written()


@pytest.fixture
def pretended_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let TensorFlow list a GPU; whatever is asked of it happens on the CPU."""
    listed = tf.config.list_physical_devices
    card = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [card] if kind == "GPU" else listed(kind))
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", lambda device, enable: None)


def test_tc_async_007_without_a_gpu_the_cpu_is_used_and_the_result_warns(room: Room) -> None:
    result = room.train(asking(64, epochs=1))
    assert result["device"] == result["training_results"]["device"] == "cpu"
    assert NO_GPU == "GPU not available, using CPU"
    assert NO_GPU in result["warnings"]


@pytest.mark.usefixtures("pretended_gpu")
def test_tc_async_007_a_working_gpu_gives_no_warning(room: Room) -> None:
    result = room.train(asking(64, epochs=1))
    assert (result["device"], result["warnings"]) == ("gpu", [])


@pytest.mark.usefixtures("pretended_gpu")
def test_tc_async_007_a_gpu_that_fails_in_mid_run_is_replaced_by_the_cpu_at_the_last_checkpoint(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, calls = keras.layers.LSTM.call, [0]

    def failing_card(
        self: Any, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False
    ) -> Any:
        def check() -> float:
            calls[0] += 1
            if calls[0] == 20:  # in the third epoch of 8 batches
                raise tf.errors.InternalError(None, None, "Failed to launch: CUDA_ERROR_LAUNCH_FAILED")
            return 0.0

        if training:
            sequences = sequences + tf.ensure_shape(tf.py_function(check, [], tf.float32), [])
        return call(self, sequences, initial_state=initial_state, mask=mask, training=training)

    monkeypatch.setattr(keras.layers.LSTM, "call", failing_card)
    result = room.train(asking(64, epochs=4))
    assert result["device"] == "cpu"
    assert NO_GPU in result["warnings"]
    assert any("CUDA_ERROR_LAUNCH_FAILED" in warning for warning in result["warnings"])
    assert result["training_results"]["resumed_from_epoch"] == 3
    assert result["training_results"]["epochs_completed"] == 4
