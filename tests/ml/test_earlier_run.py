"""A new run continues an unfinished one: the same model as if nothing had happened, and never two at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from pymongo.database import Database

from include.ml.checkpoints import CheckpointStore, checkpoint_name
from include.ml.config import TrainingConfig
from include.ml.earlier_run import EarlierRun, continue_earlier_run
from include.ml.errors import TrainingDivergedError, TrainingInterruptedError, TrainingTimeLimitError
from include.ml.loaded_model import load_model
from tests.ml.training_room import CONFIG, REQUEST, Room, stop_after

BATCHES = 8
"""Of an epoch: 484 samples in batches of 64."""
FOUR = replace(REQUEST, task_id="first", config=replace(CONFIG, epochs=4))
AGAIN = replace(FOUR, task_id="second", resume=True)


def over(_dag_id: str, _run_id: str) -> bool:
    return True


@pytest.fixture
def room(db: Database[dict[str, Any]], market_data_dir: Path, tmp_path: Path) -> Room:
    made = Room(db, market_data_dir, tmp_path)
    made.candle_store.upsert(made.candles())
    return made


@dataclass(frozen=True)
class Left:
    """What an interrupted training leaves: its job document, and its checkpoints by file name."""

    job: dict[str, Any]
    files: dict[str, bytes]


_left: list[Left] = []
"""What the run `first` left, once it has been interrupted: the others of these tests begin there."""


def interrupt(room: Room) -> None:
    """Bring the room to where the run `first` was interrupted after two epochs; the first time it really is."""
    if not _left:
        on_progress, should_stop = stop_after(2)
        with pytest.raises(TrainingInterruptedError):
            room.train(FOUR, on_progress=on_progress, should_stop=should_stop)
        _left.append(Left(room.job("first"), {file.name: file.read_bytes() for file in room.checkpoints.iterdir()}))
        return
    room.db["training_jobs"].insert_one(_left[0].job)
    room.checkpoints.mkdir()
    for name, content in _left[0].files.items():
        (room.checkpoints / name).write_bytes(content)


def checkpoints(room: Room, run_id: str) -> list[int]:
    return CheckpointStore(room.checkpoints, checkpoint_name("lstm", "BTCUSDT", "1h", run_id)).epochs()


def test_tc_async_006_a_new_run_continues_the_unfinished_one_to_the_same_model(room: Room) -> None:
    interrupt(room)
    room.candle_store.upsert(room.candles("2024-06-01T05:00", days=1))  # the market goes on
    resumed = room.train(AGAIN, run_is_over=over)
    assert resumed["resumed_from"] == {"run_id": "first", "epoch": 2}
    assert resumed["resume_reason"] is None
    assert resumed["training_results"]["resumed_from_epoch"] == 3
    assert resumed["training_results"]["epochs_completed"] == 4
    assert resumed["data"]["end"] == "2024-06-01T00:00:00Z", "the candles that the first run was pinned to"
    job = room.job("second")
    assert [epoch["epoch"] for epoch in job["epoch_metrics"]] == [1, 2, 3, 4]
    assert job["resumed_from"] == {"run_id": "first", "epoch": 2}
    assert room.job("first")["continued_by"] == "second"
    assert list(room.checkpoints.glob("*")) == []
    room.db["candles"].delete_many({"open_time": {"$gte": int(room.candles().open_time[-1]) + 1}})
    whole = room.train(replace(FOUR, task_id="whole"))
    one, two = (load_model(room.registry.get(result["model_id"]), room.files) for result in (resumed, whole))
    for before, after in zip(one.model.get_weights(), two.model.get_weights(), strict=True):
        np.testing.assert_allclose(before, after, atol=1e-6)


def test_a_retry_of_the_resuming_run_finds_its_checkpoint_again(room: Room) -> None:
    interrupt(room)
    on_progress, should_stop = stop_after(3)
    with pytest.raises(TrainingInterruptedError):
        room.train(AGAIN, on_progress=on_progress, should_stop=should_stop, run_is_over=over)
    result = room.train(replace(AGAIN, try_number=2), run_is_over=over)
    assert result["training_results"]["resumed_from_epoch"] == 4
    assert result["resumed_from"]["run_id"] == "first"


def test_of_two_runs_that_ask_at_the_same_moment_one_gets_it(room: Room) -> None:
    """The second run asks, and the third is quicker, between the second's look at the jobs and its claim."""
    interrupt(room)
    third = replace(AGAIN, task_id="third")

    def overtaken(_dag_id: str, _run_id: str) -> bool:
        assert isinstance(continue_earlier_run(room.db, third, room.checkpoints, over), EarlierRun)
        return True

    answer = continue_earlier_run(room.db, AGAIN, room.checkpoints, overtaken)
    assert isinstance(answer, str)
    assert "first was continued by another run" in answer
    assert checkpoints(room, "third") == [1, 2]
    assert checkpoints(room, "second") == []
    assert room.job("first")["continued_by"] == "third"


def test_moving_the_files_may_be_interrupted(room: Room) -> None:
    interrupt(room)
    first, second = (checkpoint_name("lstm", "BTCUSDT", "1h", run_id) for run_id in ("first", "second"))
    room.db["training_jobs"].update_one({"_id": "first"}, {"$set": {"continued_by": "second"}})
    (room.checkpoints / f"{first}_epoch_0001.ckpt").rename(room.checkpoints / f"{second}_epoch_0001.ckpt")
    found = continue_earlier_run(room.db, AGAIN, room.checkpoints, over)
    assert isinstance(found, EarlierRun)
    assert checkpoints(room, "second") == [1, 2]


def test_a_run_with_other_parameters_or_one_that_goes_on_is_not_continued_and_the_answer_says_why(room: Room) -> None:
    interrupt(room)
    for changes, reason in (
        ({"learning_rate": 0.5}, "had another learning_rate (0.001)"),
        ({"seed": 8}, "had another seed (7)"),
        ({"target": "return"}, "had another target (trend)"),
        ({"epochs": 1}, "has finished 2 epochs already, more than the 1 asked for"),
    ):
        config: TrainingConfig = replace(AGAIN.config, **changes)
        answer = continue_earlier_run(room.db, replace(AGAIN, config=config), room.checkpoints, over)
        assert isinstance(answer, str), changes
        assert reason in answer
    other_days = continue_earlier_run(room.db, replace(AGAIN, days_of_data=31), room.checkpoints, over)
    assert "had another days_of_data (30)" in str(other_days)
    going_on = continue_earlier_run(room.db, AGAIN, room.checkpoints, lambda _dag, _run: False)
    assert "first is still running" in str(going_on)
    assert checkpoints(room, "first") == [1, 2]
    found = continue_earlier_run(room.db, replace(AGAIN, config=replace(CONFIG, epochs=9, batch_size=32)),
                                 room.checkpoints, over)  # fmt: skip
    assert isinstance(found, EarlierRun), "epochs and batch size may differ"


def test_without_an_unfinished_run_the_training_begins_anew_and_says_so(room: Room) -> None:
    result = room.train(replace(AGAIN, config=replace(CONFIG, epochs=1)), run_is_over=over)
    assert result["resumed_from"] is None
    assert result["resume_reason"] == (
        "from the beginning: there is no unfinished training of lstm BTCUSDT 1h to resume"
    )
    assert result["resume_reason"] in result["warnings"]


def test_corrected_candles_make_the_resumed_training_begin_anew(room: Room) -> None:
    interrupt(room)
    room.db["candles"].update_one({"open_time": int(room.candles().open_time[-5])}, {"$inc": {"volume": 1.0}})
    result = room.train(AGAIN, run_is_over=over)
    assert result["resumed_from"] is None
    assert "the candles of run first were corrected since" in result["resume_reason"]
    assert result["training_results"]["resumed_from_epoch"] is None


def test_tc_async_009_a_diverged_run_keeps_its_last_good_checkpoint_and_is_not_continued(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply = keras.optimizers.Adam.apply

    def wild_from_the_third_epoch_on(self: Any, grads: Any, trainable_variables: Any = None) -> Any:
        self._learning_rate.assign(tf.where(self.iterations.value >= 2 * BATCHES, 1.0, 0.001))
        return apply(self, grads, trainable_variables)

    monkeypatch.setattr(keras.optimizers.Adam, "apply", wild_from_the_third_epoch_on)
    wild = replace(FOUR, config=replace(CONFIG, epochs=30, deterministic=False))
    with pytest.raises(TrainingDivergedError, match="Training diverged: loss increased 10x"):
        room.train(wild)
    job = room.job("first")
    assert job["status"] == "failed"
    assert "Training diverged: loss increased 10x" in job["error"]
    assert checkpoints(room, "first") == [1, 2]
    assert [epoch["epoch"] for epoch in job["epoch_metrics"]] == [1, 2]
    assert room.nothing_half_written()
    answer = continue_earlier_run(room.db, replace(wild, task_id="second", resume=True), room.checkpoints, over)
    assert isinstance(answer, str)
    assert "diverged and would do so again: use a smaller learning_rate" in answer


def test_tc_async_023_the_soft_limit_keeps_the_checkpoint_and_says_how_to_go_on(room: Room) -> None:
    on_progress, two_are_over = stop_after(2)
    request = replace(FOUR, config=replace(CONFIG, epochs=1000, deterministic=False))
    with pytest.raises(TrainingTimeLimitError) as failed:
        room.train(
            request, soft_limit_s=7200.0, on_progress=on_progress, clock=lambda: 7201.0 if two_are_over() else 0.0
        )
    done = failed.value.epochs_completed
    assert 2 <= done < 1000
    assert f"Training exceeded its soft limit of 7200 s after {done} of 1000 epochs" in str(failed.value)
    assert "resume=true" in str(failed.value)
    assert room.job("first")["status"] == "failed"
    assert checkpoints(room, "first")[-1] == done
    assert room.nothing_half_written()
    resumed = room.train(
        replace(AGAIN, config=replace(request.config, epochs=done + 1)), run_is_over=over, soft_limit_s=600
    )
    assert resumed["resumed_from"] == {"run_id": "first", "epoch": done}


def test_tc_async_023_a_limit_before_the_first_epoch_says_what_to_change(room: Room) -> None:
    with pytest.raises(TrainingTimeLimitError, match="no epoch was finished: ask for fewer days_of_data"):
        room.train(replace(FOUR, config=replace(CONFIG, epochs=2)), soft_limit_s=1e-6)
