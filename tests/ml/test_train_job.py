"""A training from real candles in MongoDB to a registered, encrypted candidate, and every way it can go wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pymongo
import pytest
from pymongo.database import Database
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from include.errors import BadInputError, FencedError, IntegrityError, LeaseHeldError
from include.ml.encryption import KEY_BYTES
from include.ml.errors import TrainingInterruptedError
from include.ml.loaded_model import load_model
from include.ml.model_files import ModelFileStore
from include.ml.reload_check import require_same_predictions
from include.ml.train_job import failure_result
from include.ml.training_job import TrainingJob
from include.store.leases import LeaseStore, Owner
from sandbox.mongod import Mongod
from tests.ml.models import candidate
from tests.ml.registered import network
from tests.ml.training_room import CLOCK, CONFIG, FULL_RUN, REQUEST, Room, stop_after


@pytest.fixture
def room(db: Database[dict[str, Any]], market_data_dir: Path, tmp_path: Path) -> Room:
    made = Room(db, market_data_dir, tmp_path)
    made.candle_store.upsert(made.candles())
    return made


@pytest.mark.critical
def test_tc_async_001_024_030_a_training_ends_as_a_registered_encrypted_model_with_its_job_and_result(
    room: Room,
) -> None:
    result = room.train()
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert (result["status"], result["model_type"], result["symbol"]) == ("success", "lstm", "BTCUSDT")
    assert result["task_id"] == REQUEST.task_id
    assert result["timestamp"] == "2024-06-01T00:30:00Z"
    numbers = result["training_results"]
    assert numbers["epochs_completed"] == 4
    assert numbers["bars"] == round(712 * 0.2)  # 720 less the 8 whose label is not known yet
    assert 1 <= numbers["best_epoch"] <= 4
    assert numbers["resumed_from_epoch"] is None
    assert numbers["final_loss"] > 0
    assert numbers["validation_loss"] > 0
    assert numbers["training_time_seconds"] > 0
    assert numbers["skill"] == pytest.approx(numbers["val_accuracy"] - numbers["baseline_accuracy"])
    assert numbers["skill_interval"][0] <= numbers["skill"] <= numbers["skill_interval"][1]
    assert numbers["edge"] == (numbers["skill_interval"][0] > 0)
    assert set(numbers["quantile_coverage_pct"]) == {"1", "2", "4", "8", "12", "24", "36", "48"}
    assert result["data"]["start"] == "2024-05-02T00:00:00Z"
    assert result["data"]["end"] == "2024-06-01T00:00:00Z"
    assert result["data"]["bars"] == 720
    assert {"python", "tensorflow", "keras", "numpy", "code_sha256"} == set(result["versions"])

    record = room.registry.get(result["model_id"])
    assert record.state == "candidate"
    assert record.file.name == "lstm_BTCUSDT_1h_20240601_003000.keras"
    assert record.evaluation["accuracy"] == numbers["val_accuracy"]
    assert record.training["data"] == result["data"]
    path = Path(result["model_path"])
    assert path.name == record.file.name + ".enc"
    assert not path.read_bytes().startswith(b"PK")  # a .keras file is a zip archive
    loaded = load_model(record, room.files)
    require_same_predictions(
        loaded.model, room.files.load_stored(record.file.name, record.file.sha256), loaded.spec, room.candles(), "x"
    )

    job = room.job()
    assert (job["status"], job["task_id"], job["model_type"]) == ("completed", REQUEST.task_id, "lstm")
    assert [entry["status"] for entry in job["history"]] == ["running", "completed"]
    assert job["val_accuracy"] == numbers["val_accuracy"]
    assert [epoch["epoch"] for epoch in job["epoch_metrics"]] == [1, 2, 3, 4]
    assert all(epoch["loss"] > 0 and epoch["validation_loss"] > 0 for epoch in job["epoch_metrics"])
    assert (job["seed"], job["data"], job["result"]) == (7, result["data"], result)
    assert job["versions"] == result["versions"]
    assert job["created_at"] == job["started_at"] == job["finished_at"] == CLOCK
    assert result["peak_memory_mb"] > 100
    assert (result["batch_size"], result["batch_size_asked"]) == (64, 64)
    assert (result["started_from"], result["started_from_reason"]) == (None, "from scratch, as asked for")
    assert room.weights.load_many({record.file.name: str(record.weights_sha256)})[record.file.name].keys()
    assert record.feature_distribution is not None
    spec = loaded.spec
    assert record.feature_distribution["rows"] == spec.fit_samples + spec.window - 1
    assert list(room.checkpoints.glob("*")) == []


@pytest.mark.parametrize("epochs", [3, 17])
def test_tc_async_021_progress_moves_by_at_most_5_percent_and_names_stages_and_epochs(
    room: Room, epochs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import include.ml.stepper

    monkeypatch.setattr(include.ml.stepper, "CHUNK_SECONDS", 0.0)  # one batch at a time: as many steps as a long epoch
    room.train(replace(REQUEST, config=replace(CONFIG, epochs=epochs, deterministic=False)))
    percents = [percent for percent, _ in room.progress]
    assert percents == sorted(percents)
    assert (percents[0], percents[-1]) == (0, 100)
    assert max(np.diff(percents)) <= 5
    messages = [details["message"] for _, details in room.progress]
    assert messages[:2] == ["Initializing...", "Loading data..."]
    assert messages.index("Training...") == 2
    assert messages[-1] == "Complete"
    finished = [details for _, details in room.progress if details.get("current_loss") is not None]
    assert list(dict.fromkeys(details["current_epoch"] for details in finished)) == list(range(1, epochs + 1))
    assert finished[0]["message"].startswith(f"Training epoch 1/{epochs}... Loss: ")
    assert finished[0]["total_epochs"] == epochs
    assert all(details["progress"] == percent for percent, details in room.progress)


def test_tc_async_025_the_holdout_is_the_share_asked_for(room: Room) -> None:
    result = room.train(replace(REQUEST, config=replace(CONFIG, epochs=1, validation_split=0.4)))
    assert result["training_results"]["bars"] == round(712 * 0.4)
    spec = room.registry.get(result["model_id"]).spec
    assert spec["holdout_samples"] == round(712 * 0.4)
    assert spec["training_end_ms"] <= spec["split_ms"]


def test_tc_async_006_an_interrupted_training_continues_on_the_same_candles_to_the_same_model(room: Room) -> None:
    request = replace(REQUEST, config=replace(CONFIG, epochs=FULL_RUN))
    on_progress, should_stop = stop_after(2)
    with pytest.raises(TrainingInterruptedError):
        room.train(request, on_progress=on_progress, should_stop=should_stop)
    job = room.job()
    assert (job["status"], job["error_type"]) == ("failed", "TrainingInterruptedError")
    assert len(list(room.checkpoints.glob("lstm_BTCUSDT_1h_manual__2024-06-01T00_00_00+00_00_*_epoch_0002.ckpt"))) == 1
    assert room.nothing_half_written()

    room.candle_store.upsert(room.candles("2024-06-01T05:00", days=1))  # the market goes on
    resumed = room.train(replace(request, try_number=2))
    assert resumed["training_results"]["resumed_from_epoch"] == 3
    assert resumed["training_results"]["epochs_completed"] == FULL_RUN
    assert resumed["data"]["end"] == "2024-06-01T00:00:00Z"
    job = room.job()
    assert [entry["status"] for entry in job["history"]] == ["running", "failed", "running", "completed"]
    assert [epoch["epoch"] for epoch in job["epoch_metrics"]] == [1, 2, 3, 4, 5]
    assert (job["error"], job["try_number"]) == (None, 2)
    assert list(room.checkpoints.glob("*")) == []

    room.db["candles"].delete_many({"open_time": {"$gte": int(datetime(2024, 6, 1, tzinfo=UTC).timestamp() * 1000)}})
    whole = room.train(replace(request, task_id="uninterrupted"))
    one, two = (load_model(room.registry.get(result["model_id"]), room.files) for result in (resumed, whole))
    for before, after in zip(one.model.get_weights(), two.model.get_weights(), strict=True):
        np.testing.assert_allclose(before, after, atol=1e-6)
    assert one.spec == two.spec


def test_the_age_of_the_candles_counts_from_their_first_use_however_often_the_training_is_retried(room: Room) -> None:
    on_progress, should_stop = stop_after(1)
    for number, hours in enumerate((0, 20), start=1):
        at = CLOCK + timedelta(hours=hours)
        with pytest.raises(TrainingInterruptedError):
            room.train(
                replace(REQUEST, try_number=number),
                on_progress=on_progress,
                should_stop=should_stop,
                now=lambda at=at: at,
            )
    assert room.job()["pinned_data"]["at"] == CLOCK
    job = TrainingJob(room.db, replace(REQUEST, try_number=3), lambda: CLOCK + timedelta(hours=40))
    assert job.start() is None


@pytest.mark.parametrize("change", ["a day later", "corrected candles"])
def test_a_retry_starts_anew_on_fresh_candles_when_the_old_ones_are_stale_or_changed(room: Room, change: str) -> None:
    on_progress, should_stop = stop_after(1)
    with pytest.raises(TrainingInterruptedError):
        room.train(on_progress=on_progress, should_stop=should_stop)
    room.candle_store.upsert(room.candles("2024-06-02", days=1))
    later = CLOCK + timedelta(days=1, hours=1)
    if change == "corrected candles":
        later = CLOCK
        room.db["candles"].update_one({"open_time": int(room.candles().open_time[-5])}, {"$inc": {"volume": 1.0}})
    result = room.train(replace(REQUEST, try_number=2), now=lambda: later)
    assert result["data"]["end"] == "2024-06-02T00:00:00Z"
    assert result["training_results"]["resumed_from_epoch"] is None
    assert result["training_results"]["epochs_completed"] == 4


def test_a_repeated_training_overwrites_its_candidate_and_leaves_one_file(room: Room) -> None:
    config = replace(CONFIG, epochs=1)
    first = room.train(replace(REQUEST, config=config))
    second = room.train(replace(REQUEST, config=config, try_number=2), now=lambda: CLOCK + timedelta(minutes=5))
    assert first["model_id"] == second["model_id"]
    assert room.db["models"].count_documents({}) == 1
    assert [f["filename"] for f in room.db["model_files.files"].find()] == ["lstm_BTCUSDT_1h_20240601_003500.keras.enc"]
    assert not Path(first["model_path"]).exists()
    assert Path(second["model_path"]).exists()


@pytest.mark.slow
def test_three_types_of_one_run_have_three_jobs_and_three_models(room: Room) -> None:
    shared = replace(REQUEST, task_id="retrain", dag_id="adaptive_retrain", shared_run=True)
    results = {
        model_type: room.train(replace(shared, config=replace(CONFIG, model_type=model_type, epochs=1)))
        for model_type in ("lstm", "gru", "transformer")
    }
    assert {result["model_id"] for result in results.values()} == {
        "retrain:lstm",
        "retrain:gru",
        "retrain:transformer",
    }
    assert {job["_id"] for job in room.db["training_jobs"].find({"run_id": "retrain", "status": "completed"})} == {
        f"retrain:{model_type}" for model_type in results
    }


def test_tc_async_008_too_few_candles_are_refused_before_any_work(room: Room) -> None:
    room.db["candles"].delete_many({"open_time": {"$lt": int(room.candles(days=5).open_time[0])}})
    with pytest.raises(BadInputError, match="Insufficient data: expected 720 samples, found 120"):
        room.train()
    job = room.job()
    assert (job["status"], job["error_type"]) == ("failed", "BadInputError")
    assert "found 120" in job["error"]
    assert room.nothing_half_written()
    assert not room.checkpoints.exists()


def test_an_empty_store_and_an_unknown_symbol_are_insufficient_data(room: Room) -> None:
    with pytest.raises(BadInputError, match="expected 720 samples, found 0"):
        room.train(replace(REQUEST, symbol="ETHUSDT"))


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("close", float("nan"), "not a finite number"),
        ("close", float("inf"), "not a finite number"),
        ("low", 0.0, "not above zero"),
        ("open", -5.0, "not above zero"),
        ("high", 1.0, "high below its open or close"),
    ],
)
def test_tc_async_027_corrupt_candles_are_refused_and_named(
    room: Room, field: str, value: float | None, words: str
) -> None:
    room.db["candles"].update_one({"open_time": int(room.candles().open_time[-100])}, {"$set": {field: value}})
    with pytest.raises(BadInputError, match="Corrupt data") as caught:
        room.train()
    assert words in str(caught.value)
    assert room.job()["status"] == "failed"
    assert room.nothing_half_written()


def test_tc_async_062_stale_candles_are_refused_when_freshness_is_asked_for(room: Room) -> None:
    request = replace(REQUEST, config=replace(CONFIG, epochs=1), max_candle_age_bars=3)
    with pytest.raises(BadInputError, match="Stale data: the newest BTCUSDT 1h candle closed at 2024-06-01T00:00:00Z"):
        room.train(request, now=lambda: CLOCK + timedelta(hours=3))
    assert room.train(replace(request, try_number=2))["data"]["end"] == "2024-06-01T00:00:00Z"


def test_a_guard_that_fences_stops_every_write(room: Room) -> None:
    epochs = []

    def guard() -> None:
        if len(epochs) >= 2:
            raise FencedError("try 2 has taken over")

    with pytest.raises(FencedError):
        room.train(guard=guard, on_progress=lambda percent, details: epochs.extend([1] * ("current_epoch" in details)))
    assert room.job()["status"] == "running"  # the newer try's business
    assert room.nothing_half_written()


def test_a_newer_try_that_wrote_the_job_fences_the_older_one_off(room: Room) -> None:
    TrainingJob(room.db, replace(REQUEST, try_number=3)).start()
    with pytest.raises(FencedError):
        room.train(replace(REQUEST, try_number=2))
    assert room.job()["try_number"] == 3
    assert room.nothing_half_written()


def test_tc_async_010_063_a_lease_renewed_by_progress_keeps_a_second_training_out(room: Room) -> None:
    leases = LeaseStore(room.db)
    lease = leases.acquire("train:lstm:BTCUSDT", Owner("train_model", REQUEST.task_id), 1, 600)

    def on_progress(percent: int, details: Mapping[str, Any]) -> None:
        leases.renew(lease)
        with pytest.raises(LeaseHeldError, match="Training already in progress"):
            leases.acquire(
                "train:lstm:BTCUSDT", Owner("train_model", "second"), 1, 600,
                label="Training already in progress for lstm+BTCUSDT",
            )  # fmt: skip

    result = room.train(
        replace(REQUEST, config=replace(CONFIG, epochs=1)), on_progress=on_progress, guard=lambda: leases.check(lease)
    )
    assert result["status"] == "success"


def test_a_cache_that_cannot_be_written_fails_the_job_and_leaves_no_file(room: Room) -> None:
    (room.tmp_path / "cache").write_bytes(b"a file where the folder should be")
    with pytest.raises(OSError, match=r"exists|directory"):
        room.train(replace(REQUEST, config=replace(CONFIG, epochs=1)))
    assert room.job()["status"] == "failed"
    assert room.db["models"].count_documents({}) == 0
    assert room.db["model_files.files"].count_documents({}) == 0
    assert len(list(room.checkpoints.glob("*_epoch_0001.ckpt"))) == 1  # the work is not lost


def test_a_registration_that_fails_leaves_no_file(room: Room) -> None:
    room.registry.register(candidate(REQUEST.task_id, try_number=5), CLOCK)  # only the registry knows of the newer try
    with pytest.raises(FencedError, match="may not register"):
        room.train(replace(REQUEST, config=replace(CONFIG, epochs=1), try_number=4))
    assert room.db["model_files.files"].count_documents({}) == 0
    assert room.db["model_files.chunks"].count_documents({}) == 0
    assert list(room.tmp_path.glob("cache/*")) == []


class DamagingTheUpload(CommandListener):
    """Changes a byte of every model file right after its upload, as a faulty disk of the database would."""

    def __init__(self, db: Database[dict[str, Any]]) -> None:
        self._db = db

    def started(self, event: CommandStartedEvent) -> None:
        """Nothing yet."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Nothing to damage."""

    def succeeded(self, event: CommandSucceededEvent) -> None:
        if event.command_name == "insert" and self._db["model_files.files"].count_documents({}):
            for chunk in self._db["model_files.chunks"].find():
                data = chunk["data"][:-1] + bytes([chunk["data"][-1] ^ 1])
                self._db["model_files.chunks"].update_one({"_id": chunk["_id"]}, {"$set": {"data": data}})


def test_a_file_damaged_on_its_way_into_the_database_is_not_registered(room: Room, mongod: Mongod) -> None:
    with pymongo.MongoClient[dict[str, Any]](mongod.uri, event_listeners=[DamagingTheUpload(room.db)]) as client:
        files = ModelFileStore(client[room.db.name], bytes(range(KEY_BYTES)), room.tmp_path / "cache")
        with pytest.raises(IntegrityError, match="corrupt in the database"):
            room.train(replace(REQUEST, config=replace(CONFIG, epochs=1)), files=files)
    assert room.job()["error_type"] == "IntegrityError"
    assert room.nothing_half_written()


def test_a_file_that_is_another_model_does_not_pass_the_reload_check(room: Room, market_data_dir: Path) -> None:
    from include.ml.predictor import load_model_bytes

    made = network(market_data_dir)
    model = load_model_bytes(made.good)
    require_same_predictions(model, made.good, made.spec, room.candles(), "x.keras")
    with pytest.raises(IntegrityError, match=r"x\.keras does not give the trained model's predictions"):
        require_same_predictions(model, made.contrary, made.spec, room.candles(), "x.keras")


def test_a_queued_job_becomes_running_and_keeps_its_history(room: Room) -> None:
    TrainingJob(room.db, REQUEST, lambda: CLOCK - timedelta(minutes=1)).queue()
    assert room.job()["status"] == "queued"
    room.train(replace(REQUEST, config=replace(CONFIG, epochs=1)))
    job = room.job()
    assert [entry["status"] for entry in job["history"]] == ["queued", "running", "completed"]
    assert job["created_at"] == CLOCK - timedelta(minutes=1)
    assert job["finished_at"] == CLOCK


def test_the_failure_has_the_specifications_shape() -> None:
    error = BadInputError("Insufficient data: expected 720 samples, found 234")
    failure = failure_result(REQUEST, error, retry_count=3, max_retries=3, now=CLOCK)
    expected = {
        "status": "failed",
        "error": "Insufficient data: expected 720 samples, found 234",
        "error_type": "BadInputError",
        "task_id": REQUEST.task_id,
        "retry_count": 3,
        "max_retries": 3,
        "timestamp": "2024-06-01T00:30:00Z",
    }
    assert {key: failure[key] for key in expected} == expected
