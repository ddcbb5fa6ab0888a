"""One training per network and symbol at a time; claims of runs that are over hold nobody up."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from include.errors import BadInputError, FencedError, LeaseHeldError
from include.market.binance import BinanceClient
from include.ml.config import TrainingConfig
from include.ml.errors import DiskFullError
from include.ml.train_request import TrainRequest
from include.ml.training_job import TrainingJob, cancel_jobs
from include.settings import Settings, get_settings
from include.store.leases import LeaseStore, Owner
from include.tasks_api.admission import (
    claim_training,
    claim_trainings,
    queue_training,
    refuse_training,
    require_room,
    require_symbol,
    training_key,
)
from include.tasks_api.params.adaptive_retrain import AdaptiveRetrainParams
from include.tasks_api.params.train_model import TrainModelParams
from include.tasks_api.training_request import request_of_retraining, request_of_training, soft_limit_s
from sandbox.launcher import Sandbox

FIRST, SECOND = Owner("adaptive_retrain", "first"), Owner("train_model", "second")
REQUEST = TrainRequest("BTCUSDT", "1h", 30, TrainingConfig("lstm"), "second", 0, requested_by="ann")


def running(_: Owner) -> bool:
    return False


def over(_: Owner) -> bool:
    return True


def test_tc_async_063_a_second_training_of_the_same_network_and_symbol_is_refused(db: Any) -> None:
    claim_trainings(db, ["lstm", "gru"], "BTCUSDT", FIRST, running)
    with pytest.raises(LeaseHeldError) as refused:
        claim_trainings(db, ["lstm"], "BTCUSDT", SECOND, running)
    assert str(refused.value) == "Training already in progress for lstm+BTCUSDT"
    assert claim_trainings(db, ["lstm"], "ETHUSDT", SECOND, running) == [training_key("lstm", "ETHUSDT")]


def test_a_refused_run_holds_nothing(db: Any) -> None:
    claim_trainings(db, ["gru"], "BTCUSDT", FIRST, running)
    with pytest.raises(LeaseHeldError):
        claim_trainings(db, ["lstm", "gru", "transformer"], "BTCUSDT", SECOND, running)
    assert {lease.owner for lease in LeaseStore(db).all()} == {FIRST}


def test_the_claim_of_a_run_that_is_over_is_taken_over(db: Any) -> None:
    claim_trainings(db, ["lstm"], "BTCUSDT", FIRST, running)
    claim_trainings(db, ["lstm"], "BTCUSDT", SECOND, over)
    held = LeaseStore(db).holder(training_key("lstm", "BTCUSDT"))
    assert held is not None
    assert held.owner == SECOND


def test_the_training_takes_over_its_own_runs_claim_and_fences_older_tries(db: Any) -> None:
    claim_trainings(db, ["lstm"], "BTCUSDT", FIRST, running)
    first_try = claim_training(db, "lstm", "BTCUSDT", FIRST, 1, running)
    claim_training(db, "lstm", "BTCUSDT", FIRST, 2, running)
    with pytest.raises(FencedError):
        LeaseStore(db).check(first_try)
    with pytest.raises(FencedError):
        claim_training(db, "lstm", "BTCUSDT", FIRST, 1, running)


def test_a_run_that_is_cleared_and_started_again_is_admitted(db: Any) -> None:
    claim_trainings(db, ["lstm"], "BTCUSDT", FIRST, running)
    claim_training(db, "lstm", "BTCUSDT", FIRST, 3, running)
    assert claim_trainings(db, ["lstm"], "BTCUSDT", FIRST, running) == [training_key("lstm", "BTCUSDT")]


@pytest.fixture
def settings_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Set settings through their environment variables, as a deployment does."""

    def change(**values: object) -> None:
        for name, value in values.items():
            monkeypatch.setenv(f"TRADING_OPS_{name.upper()}", str(value))
        get_settings.cache_clear()

    yield change
    monkeypatch.undo()
    get_settings.cache_clear()


def test_tc_async_026_a_training_is_not_admitted_without_the_free_space_that_the_setting_asks_for(
    settings_of: Callable[..., None], tmp_path: Path
) -> None:
    settings_of(state_dir=tmp_path / "state", min_free_disk_gb=0)
    require_room()
    settings_of(min_free_disk_gb=1e9)
    with pytest.raises(DiskFullError, match=r"Insufficient disk space: .* GB free in .*state, 1000000000\.0 GB needed"):
        require_room()
    assert Settings.model_fields["min_free_disk_gb"].default == 10.0


def test_tc_async_002_a_symbol_that_the_exchange_does_not_know_is_refused(sandbox: Sandbox) -> None:
    with BinanceClient(sandbox.urls["binance"]) as client:
        require_symbol(client, "BTCUSDT")
        with pytest.raises(BadInputError, match=r"Invalid trading symbol\. Invalid symbol: INVALID"):
            require_symbol(client, "INVALID")


def test_an_admitted_training_is_queued_and_a_cleared_one_queued_again(db: Any) -> None:
    queue_training(db, REQUEST)
    job = db["training_jobs"].find_one({"_id": "second"})
    assert (job["status"], job["requested_by"]) == ("queued", "ann")
    db["training_jobs"].update_one({"_id": "second"}, {"$set": {"status": "failed", "try_number": 3}})
    queue_training(db, REQUEST)
    job = db["training_jobs"].find_one({"_id": "second"})
    assert (job["status"], job["try_number"]) == ("queued", 3)
    assert [entry["status"] for entry in job["history"]] == ["queued", "queued"]
    refuse_training(db, REQUEST, BadInputError("Insufficient data: expected 720 samples, found 120"))
    job = db["training_jobs"].find_one({"_id": "second"})
    assert (job["status"], job["error_type"]) == ("failed", "BadInputError")


def test_jobs_of_runs_that_died_without_a_word_are_ended_at_the_next_admission(db: Any) -> None:
    TrainingJob(db, replace(REQUEST, task_id="killed", try_number=2)).start()
    TrainingJob(db, replace(REQUEST, task_id="going on", symbol="ETHUSDT")).start()
    claim_trainings(db, ["lstm"], "BTCUSDT", FIRST, over)
    assert db["training_jobs"].find_one({"_id": "killed"})["status"] == "cancelled"
    claim_trainings(db, ["lstm"], "ETHUSDT", FIRST, running)
    assert db["training_jobs"].find_one({"_id": "going on"})["status"] == "running"


def test_a_cancelled_runs_jobs_say_so_and_stay_so(db: Any) -> None:
    job = TrainingJob(db, REQUEST)
    job.start()
    assert cancel_jobs(db, "second", datetime.now(UTC)) == 1
    job.fail(RuntimeError("stopped"))
    stored = db["training_jobs"].find_one({"_id": "second"})
    assert (stored["status"], [entry["status"] for entry in stored["history"]]) == (
        "cancelled",
        ["running", "cancelled"],
    )
    assert "resume=true" in stored["error"]
    assert cancel_jobs(db, "second", datetime.now(UTC)) == 0


@pytest.mark.parametrize(("minutes", "configured_s", "limit_s"), [(0, 7200, 7200), (30, 7200, 1800), (600, 7200, 7200)])
def test_tc_async_023_a_runs_own_limit_is_bounded_by_the_configured_one(
    settings_of: Callable[..., None], minutes: float, configured_s: float, limit_s: float
) -> None:
    settings_of(training_soft_limit_s=configured_s)
    assert soft_limit_s(TrainModelParams(soft_limit_minutes=minutes)) == limit_s
    assert soft_limit_s(AdaptiveRetrainParams()) == configured_s
    assert (Settings.model_fields["training_soft_limit_s"].default, 9000.0) == (
        7200.0, Settings.model_fields["training_hard_limit_s"].default,
    )  # fmt: skip


def test_the_request_carries_what_the_run_asks_for(settings_of: Callable[..., None]) -> None:
    settings_of(max_concurrent_trainings=2)
    asked = request_of_training(TrainModelParams(), "train_model", "r", 1, "ann")
    assert (asked.from_champion, asked.resume, asked.config.early_stopping_patience) == (True, False, None)
    assert asked.requested_by == "ann"
    assert asked.config.threads == max(1, len(os.sched_getaffinity(0)) // 2)
    params = TrainModelParams(retrain=True, resume=True, early_stopping=True, early_stopping_patience=5)
    asked = request_of_training(params, "train_model", "r", 1)
    assert (asked.from_champion, asked.resume, asked.config.early_stopping_patience) == (False, True, 5)
    retraining = request_of_retraining(AdaptiveRetrainParams(), "gru", "adaptive_retrain", "r", 1)
    assert (retraining.from_champion, retraining.resume) == (False, False)
