"""Checkpoints: what is kept, what is refused, and what a crash or a newer try leaves behind."""

from __future__ import annotations

import os
import resource
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from include.errors import FencedError, IntegrityError
from include.ml.checkpoint_file import Checkpoint, pack, unpack
from include.ml.checkpoints import KEPT, CheckpointStore, checkpoint_name, sweep_checkpoints


def checkpoint(epoch: int) -> Checkpoint:
    arrays: dict[str, NDArray[Any]] = {
        "model/0": np.full((3, 4), epoch, np.float32),
        "model/1": np.array(7, np.int64),
        "optimizer/0": np.arange(5, dtype=np.uint32),
        "empty": np.empty((0, 2), np.float32),
    }
    return Checkpoint(epoch, {"history": [{"loss": 0.5}] * epoch, "best_loss": 0.1 + 0.2}, arrays)


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints", "lstm_BTCUSDT_1h_run-1")


def test_it_comes_back_as_it_was_saved(store: CheckpointStore) -> None:
    store.save(checkpoint(3))
    loaded, saved = store.load_latest(), checkpoint(3)
    assert loaded is not None
    assert loaded.epoch == 3
    assert loaded.state == saved.state
    assert list(loaded.arrays) == list(saved.arrays)
    for name, array in saved.arrays.items():
        assert loaded.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(loaded.arrays[name], array)


def test_tc_async_006_the_file_is_named_after_model_symbol_run_and_epoch(store: CheckpointStore) -> None:
    assert store.save(checkpoint(50)).name == "lstm_BTCUSDT_1h_run-1_epoch_0050.ckpt"


def test_every_tenth_and_the_two_newest_are_kept(store: CheckpointStore) -> None:
    for epoch in range(1, 54):
        store.save(checkpoint(epoch))
    assert store.epochs() == [10, 20, 30, 40, 50, 52, 53]


def test_nothing_saved_is_nothing_to_load(store: CheckpointStore) -> None:
    assert store.load_latest() is None
    store.remove()


@pytest.mark.critical
@pytest.mark.parametrize("damage", ["empty", "cut in the header", "cut at the end", "one bit", "no checkpoint"])
def test_a_damaged_newest_one_is_refused_and_the_one_before_is_used(store: CheckpointStore, damage: str) -> None:
    store.save(checkpoint(7))
    path = store.save(checkpoint(8))
    data = path.read_bytes()
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 1
    path.write_bytes(
        {
            "empty": b"",
            "cut in the header": data[:60],
            "cut at the end": data[:-1],
            "one bit": bytes(flipped),
            "no checkpoint": b"<html>" * 100,
        }[damage]
    )
    with pytest.raises(IntegrityError, match="epoch_0008"):
        store.load(8)
    loaded = store.load_latest()
    assert loaded is not None
    assert loaded.epoch == 7


def test_a_checkpoint_under_the_name_of_another_epoch_is_refused(store: CheckpointStore) -> None:
    store.save(checkpoint(1)).rename(store.path(9))
    with pytest.raises(IntegrityError, match="holds epoch 1"):
        store.load(9)
    assert store.load_latest() is None


def test_a_newer_try_fences_writing_and_removing(tmp_path: Path) -> None:
    CheckpointStore(tmp_path, "run").save(checkpoint(1))

    def taken_over() -> None:
        raise FencedError("try 2 of run x owns it")

    stale = CheckpointStore(tmp_path, "run", guard=taken_over)
    with pytest.raises(FencedError):
        stale.save(checkpoint(2))
    with pytest.raises(FencedError):
        stale.remove()
    assert stale.epochs() == [1]


def test_removing_takes_the_own_files_only_and_the_remains_of_interrupted_writes(tmp_path: Path) -> None:
    mine, other = CheckpointStore(tmp_path, "a"), CheckpointStore(tmp_path, "a_b")
    mine.save(checkpoint(1))
    other.save(checkpoint(1))
    (tmp_path / ".a_epoch_0002.ckpt.x8d3k").write_bytes(b"half")
    mine.remove()
    assert [path.name for path in tmp_path.iterdir()] == ["a_b_epoch_0001.ckpt"]


def test_a_write_that_fails_half_way_keeps_the_former_checkpoint_and_leaves_no_remains(store: CheckpointStore) -> None:
    path = store.save(checkpoint(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # the disk takes 100 bytes of the file, then no more
    try:
        with pytest.raises(OSError, match="File too large"):
            store.save(checkpoint(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_run_ids_become_file_names_and_stay_apart() -> None:
    plain = checkpoint_name("lstm", "BTCUSDT", "1h", "run-1")
    first = checkpoint_name("lstm", "BTCUSDT", "1h", "manual__2025-01-01T00:00:00+00:00")
    second = checkpoint_name("lstm", "BTCUSDT", "1h", "manual__2025-01-01T00_00:00+00:00")
    outside = checkpoint_name("lstm", "BTCUSDT", "1h", "../../etc/passwd")
    assert plain == "lstm_BTCUSDT_1h_run-1"
    assert first != second
    assert "/" not in outside
    with pytest.raises(ValueError, match="use checkpoint_name"):
        CheckpointStore(Path(), "../x")


def test_numbers_survive_to_the_last_bit() -> None:
    state = {"loss": 0.1 + 0.2, "tiny": 5e-324}
    assert unpack(pack(Checkpoint(1, state, {})), "x").state == state


def test_checkpoints_that_nobody_resumed_are_swept(store: CheckpointStore, tmp_path: Path) -> None:
    folder, now = tmp_path / "checkpoints", datetime(2026, 11, 22, tzinfo=UTC)
    for epoch, age in ((10, KEPT + timedelta(hours=1)), (11, KEPT - timedelta(hours=1))):
        path, changed = store.save(checkpoint(epoch)), (now - age).timestamp()
        os.utime(path, (changed, changed))
    remains, other = folder / ".lstm_epoch_0001.ckpt.x7", folder / "notes.txt"
    for path in (remains, other):
        path.touch()
        os.utime(path, (0, 0))
    assert sweep_checkpoints(folder, now) == [remains.name, store.path(10).name]
    assert store.epochs() == [11]
    assert other.exists()
    assert sweep_checkpoints(tmp_path / "none", now) == []
