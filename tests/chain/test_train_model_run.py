"""`train_model` as an operator uses it: through the running stack, on real candles and the real networks."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psutil
import pytest

from include.market.timeframes import bars_per_day
from include.ml.checkpoints import CheckpointStore, checkpoint_name
from include.ml.registry import ModelRegistry
from include.store import collections
from ops.client import AirflowApiError, AirflowClient
from ops.environment import Environment
from tests.chain.conftest import Bundle, RunView, eventually
from tests.chain.trainings import LONG_TIMEOUT_S, TRAIN, job_of, messages_of, progress_of, trained

pytestmark = pytest.mark.long

TOGETHER: dict[str, dict[str, Any]] = {
    "5m": {"symbol": "ADAUSDT", "timeframe": "5m", "days_of_data": 7, "validation_split": 0.25},
    "15m": {"symbol": "ETHUSDT", "timeframe": "15m", "days_of_data": 7, "learning_rate": 0.0005},
    "4h": {"symbol": "SOLUSDT", "timeframe": "4h", "days_of_data": 120},
    "1h": {"symbol": "DOGEUSDT", "timeframe": "1h", "days_of_data": 30, "deploy": True},
}
"""With the limited one five trainings; between them every timeframe, a learning rate and a hold-out of their own."""
ENDLESS = {"model_type": "gru", "symbol": "XRPUSDT", "epochs": 1000, "deploy": False}
LIMITED = {"model_type": "transformer", "symbol": "XRPUSDT", "epochs": 1000, "soft_limit_minutes": 0.2}


@dataclass(frozen=True)
class Started:
    """The runs that were started together: name -> run id."""

    runs: dict[str, str]

    def finish(self, bundle: Bundle, name: str) -> RunView:
        return bundle.finish(TRAIN, self.runs[name], timeout_s=LONG_TIMEOUT_S)


@pytest.fixture(scope="module")
def started(environment: Bundle) -> Started:
    """Start the runs of this module that do not disturb each other; two of them train at a time."""
    environment.control.reset()
    runs = {}
    for name, conf in TOGETHER.items():
        short = {"model_type": "lstm", "epochs": 2, "deploy": False, "notify": False}
        runs[name] = environment.start(TRAIN, {**short, **conf})
    runs["limited"] = environment.start(TRAIN, LIMITED)
    return Started(runs)


def checkpoints_of(bundle: Bundle, run_id: str, conf: dict[str, Any]) -> list[int]:
    name = checkpoint_name(conf["model_type"], conf["symbol"], conf.get("timeframe", "1h"), run_id)
    return CheckpointStore(bundle.state_dir / "checkpoints", name).epochs()


def training_task(bundle: Bundle, run_id: str, model_type: str) -> dict[str, Any]:
    (task,) = (task for task in bundle.client.task_instances(TRAIN, run_id) if task["task_id"] == f"{model_type}.train")
    return task


@pytest.mark.parametrize("timeframe", ["5m", "15m", "1h", "4h"])
def test_tc_async_004_and_014_each_timeframe_trains_on_its_own_candles(
    bundle: Bundle, started: Started, timeframe: str
) -> None:
    result = trained(started.finish(bundle, timeframe))
    asked = TOGETHER[timeframe]
    assert (result["timeframe"], result["symbol"]) == (timeframe, asked["symbol"])
    assert result["data"]["bars"] == asked["days_of_data"] * bars_per_day(timeframe)
    record = ModelRegistry(bundle.db).get(result["model_id"])
    assert (record.timeframe, record.spec["timeframe"]) == (timeframe, timeframe)
    assert record.file.name.startswith(f"lstm_{asked['symbol']}_{timeframe}_")
    assert not bundle.messages(started.runs[timeframe]), "no message was asked for"


def test_tc_async_015_a_learning_rate_of_its_own_is_used(bundle: Bundle, started: Started) -> None:
    result = trained(started.finish(bundle, "15m"))
    assert job_of(bundle, started.runs["15m"])["config"]["learning_rate"] == 0.0005
    assert ModelRegistry(bundle.db).get(result["model_id"]).training["config"]["learning_rate"] == 0.0005


def test_tc_async_025_the_asked_share_is_held_out(bundle: Bundle, started: Started) -> None:
    result = trained(started.finish(bundle, "5m"))
    labelled = result["data"]["bars"] - 8
    assert result["training_results"]["bars"] == round(0.25 * labelled)


def test_tc_async_004_five_trainings_run_two_at_a_time(bundle: Bundle, started: Started) -> None:
    for name in TOGETHER:
        trained(started.finish(bundle, name))
    spans = []
    for name, run_id in started.runs.items():
        started.finish(bundle, name)
        model_type = "transformer" if name == "limited" else "lstm"
        task = training_task(bundle, run_id, model_type)
        assert task["pool"] == "cpu_training"
        spans.append((at(task["start_date"]), at(task["end_date"])))
    most = max(sum(begin <= moment < end for begin, end in spans) for moment, _ in spans)
    assert 1 <= most <= 2


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_tc_async_019_and_020_a_deployed_model_is_what_the_next_training_starts_from(
    bundle: Bundle, started: Started
) -> None:
    first = trained(started.finish(bundle, "1h"))
    assert first["deployed"] is True, first["verdict"]
    pointer = bundle.db[collections.CHAMPIONS].find_one({"_id": "lstm:DOGEUSDT:1h"})
    assert pointer is not None
    assert pointer["model_id"] == first["model_id"]
    assert bundle.db[collections.DEPLOYMENTS].count_documents({"to_model_id": first["model_id"]}) == 1
    assert first["started_from"] is None
    # The same candles with a smaller hold-out: the champion has not seen the newest tenth of them.
    conf = {"model_type": "lstm", **TOGETHER["1h"], "epochs": 1, "validation_split": 0.1, "deploy": False}
    second = trained(bundle.run(TRAIN, conf))
    assert second["started_from"] == first["model_id"], second["started_from_reason"]
    registry = ModelRegistry(bundle.db)
    specs = [registry.get(result["model_id"]).spec for result in (first, second)]
    assert specs[0]["scaler_mean"] == specs[1]["scaler_mean"]
    assert specs[0]["training_end_ms"] < specs[1]["split_ms"]
    again = trained(bundle.run(TRAIN, {**conf, "validation_split": 0.3}))
    assert again["started_from"] is None
    assert "must be unseen" in again["started_from_reason"]


def test_tc_async_023_the_time_limit_keeps_the_checkpoint_and_fails_without_a_retry(
    bundle: Bundle, started: Started
) -> None:
    run = started.finish(bundle, "limited")
    assert run.state == "failed"
    assert run.tries["transformer.train"] == 1
    job = job_of(bundle, run.run_id)
    assert (job["status"], job["error_type"]) == ("failed", "TrainingTimeLimitError")
    assert job["error"].startswith("Training exceeded its soft limit of 12 s after ")
    assert job["error"] in messages_of(bundle, run.run_id)
    done = checkpoints_of(bundle, run.run_id, LIMITED)
    assert ("resume=true" in job["error"]) == bool(done)
    assert bundle.db[collections.MODELS].count_documents({"task_id": run.run_id}) == 0


def test_tc_async_005_and_010_a_cancelled_training_is_gone_within_15_s_and_leaves_everything_free(
    bundle: Bundle, started: Started
) -> None:
    for name in started.runs:
        started.finish(bundle, name)
    run_id = bundle.start(TRAIN, ENDLESS)
    eventually(lambda: progress_of(bundle, run_id, "gru").get("current_epoch", 0) >= 2, LONG_TIMEOUT_S)
    second = bundle.run(TRAIN, {**ENDLESS, "epochs": 1})
    assert second.tasks["admit"] == "failed", second.story
    assert second.tries["admit"] == 1
    assert "Training already in progress for gru+XRPUSDT" in messages_of(bundle, second.run_id)
    assert bundle.db[collections.TRAINING_JOBS].find_one({"_id": second.run_id}) is None
    task = training_task(bundle, run_id, "gru")
    assert task["state"] == "running", "the first one goes on"
    process = psutil.Process(task["pid"])
    assert "airflow" in " ".join(process.cmdline())

    bundle.client.cancel(TRAIN, run_id)
    gone, alive = psutil.wait_procs([process], timeout=15)
    assert alive == [], "still alive 15 s after the cancellation"
    assert gone
    job = job_of(bundle, run_id)
    assert job["status"] == "cancelled", job
    assert [entry["status"] for entry in job["history"]] == ["queued", "running", "cancelled"]
    assert bundle.db[collections.LEASES].count_documents({"owner.run_id": run_id}) == 0
    assert bundle.finish(TRAIN, run_id).state == "failed"
    last = checkpoints_of(bundle, run_id, ENDLESS)[-1]
    assert last >= 2
    assert last >= len(job["epoch_metrics"])
    assert bundle.db[collections.MODELS].count_documents({"task_id": run_id}) == 0
    assert bundle.db[collections.CHAMPIONS].find_one({"_id": "gru:XRPUSDT:1h"}) is None

    conf = {**ENDLESS, "resume": True, "epochs": last + 1}
    result = trained(bundle.finish(TRAIN, bundle.start(TRAIN, conf), timeout_s=LONG_TIMEOUT_S))
    assert result["resumed_from"] == {"run_id": run_id, "epoch": last}, "the slot and the claim were free"
    assert result["training_results"]["resumed_from_epoch"] == last + 1
    assert result["training_results"]["epochs_completed"] == last + 1
    assert result["data"]["sha256"] == job["data"]["sha256"]
    assert checkpoints_of(bundle, run_id, ENDLESS) == []


def test_tc_async_002_wrong_parameters_are_refused_at_the_door_and_an_unknown_pair_in_the_first_task(
    bundle: Bundle,
) -> None:
    before = len(bundle.client.runs(TRAIN))
    for conf in (
        {"model_type": "invalid_model"}, {"epochs": 0}, {"epochs": 1001}, {"batch_size": 33}, {"days_of_data": 3},
        {"learning_rate": -0.1}, {"validation_split": 0.6},
    ):  # fmt: skip
        with pytest.raises(AirflowApiError) as refused:
            bundle.start(TRAIN, conf)
        assert refused.value.status == httpx.codes.BAD_REQUEST
        assert next(iter(conf)) in str(refused.value)
    assert len(bundle.client.runs(TRAIN)) == before
    run = bundle.run(TRAIN, {"symbol": "INVALID"})
    assert (run.state, run.tries["admit"]) == ("failed", 1)
    assert "Invalid trading symbol. Invalid symbol: INVALID is not traded on Binance" in messages_of(bundle, run.run_id)


@pytest.fixture
def users(bundle: Bundle) -> Iterator[dict[str, tuple[str, AirflowClient]]]:
    """A Trader and an MLAdmin of this test's own: role -> name and client."""
    base_url = Environment.prepare(bundle.run_dir, running=True)[0].base_url
    clients = {}
    for role in ("Trader", "MLAdmin"):
        name, password = f"{role.lower()}-{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
        bundle.client.request(
            "POST", "/auth/fab/v1/users",
            json={
                "username": name, "email": f"{name}@example.org", "first_name": role, "last_name": "Test",
                "roles": [{"name": role}], "password": password,
            },
        )  # fmt: skip
        clients[role] = (name, AirflowClient(base_url, name, password))
    yield clients
    for _, client in clients.values():
        client.close()


def test_tc_async_028_and_029_a_trader_may_not_train_and_an_mladmin_only_so_often(
    bundle: Bundle, users: dict[str, tuple[str, AirflowClient]]
) -> None:
    (_, trader), (name, ml_admin) = users["Trader"], users["MLAdmin"]
    with pytest.raises(AirflowApiError) as refused:
        trader.trigger(TRAIN, {"epochs": 1})
    assert refused.value.status == httpx.codes.FORBIDDEN
    now = datetime.now(UTC)
    for day in (now.date(), now.date() + timedelta(days=1)):  # the day may change between here and the admission
        bundle.db[collections.TRAINING_QUOTA].insert_one(
            {
                "_id": f"{day}:{name}", "user": name, "day": str(day), "expires_at": now + timedelta(days=1),
                "runs": [f"earlier {number}" for number in range(200)],
            }
        )  # fmt: skip
    run_id = ml_admin.trigger(TRAIN, {"model_type": "gru", "symbol": "LTCUSDT", "epochs": 1})
    run = bundle.finish(TRAIN, run_id)
    assert (run.state, run.tries["admit"]) == ("failed", 1)
    assert f"Rate limit exceeded: max 200 trainings per user per day ({name}" in messages_of(bundle, run_id)
    assert bundle.db[collections.LEASES].count_documents({"owner.run_id": run_id}) == 0
    assert bundle.db[collections.TRAINING_JOBS].find_one({"_id": run_id}) is None


def test_tc_async_008_and_027_too_few_and_corrupt_candles_are_refused_before_a_slot_is_waited_for(
    bundle: Bundle, started: Started
) -> None:
    for name in started.runs:
        started.finish(bundle, name)  # the exchange is out of order below: nobody else may ask it
    candles = bundle.db[collections.CANDLES]
    newest = {"symbol": "LTCUSDT", "timeframe": "4h"}
    last = bundle.control.data()["now_ms"] // 14_400_000 * 14_400_000
    candles.delete_many(newest)
    candles.insert_many(
        [
            {
                **newest, "open_time": last - 14_400_000 * ago, "open": 70.0, "high": 71.0, "low": 69.0, "close": 70.5,
                "volume": 1.0,
            }
            for ago in range(1, 31)
        ]
    )  # fmt: skip
    bundle.control.script("binance", "/api/v3/klines", json=[])
    conf = {"model_type": "gru", "symbol": "LTCUSDT", "timeframe": "4h", "deploy": False}
    short = bundle.run(TRAIN, conf)
    assert short.state == "failed"
    assert (short.tasks["refresh_candles"], short.tasks["gru.train"]) == ("failed", "upstream_failed"), short.story
    assert short.tries["refresh_candles"] == 1
    assert "Insufficient data: expected 180 samples, found 30" in messages_of(bundle, short.run_id)
    assert job_of(bundle, short.run_id)["status"] == "failed"

    candles.update_one({**newest, "open_time": last - 14_400_000 * 7}, {"$set": {"close": float("nan")}})
    corrupt = bundle.run(TRAIN, conf)
    candles.delete_many(newest)
    assert corrupt.state == "failed"
    assert corrupt.tasks["gru.train"] == "upstream_failed", corrupt.story
    when = datetime.fromtimestamp((last - 14_400_000 * 7) / 1000, UTC).strftime("%Y-%m-%dT%H:%M")
    assert f"Corrupt data: LTCUSDT 4h candle of {when}" in messages_of(bundle, corrupt.run_id)
    assert "a close that is not a finite number (nan)" in job_of(bundle, corrupt.run_id)["error"]
    assert bundle.db[collections.MODELS].count_documents({"task_id": corrupt.run_id}) == 0
