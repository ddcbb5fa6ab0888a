"""`adaptive_retrain` and `train_model` as Airflow runs them, on real candles and the real networks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from include.market.candle_store import CandleStore
from include.ml.checkpoints import checkpoint_name
from include.ml.encryption import model_key
from include.ml.loaded_model import load_model, score_model
from include.ml.model_files import ModelFileStore
from include.ml.model_record import ModelRecord
from include.ml.registry import ModelRegistry
from include.store import collections
from ops.client import AirflowApiError
from tests.chain.channels import delivered_everywhere
from tests.chain.conftest import Bundle, RunView, eventually

pytestmark = pytest.mark.slow

RETRAIN = "adaptive_retrain"
SHORT = {"days_of_data": 30, "epochs": 2}
NETWORKS = ("lstm", "gru", "transformer")
TRAINED = {"lstm": "BTCUSDT", "gru": "ETHUSDT", "transformer": "BTCUSDT"}
"""What `train_model` is asked for; a second symbol of each network comes from the retraining of the first models."""
ANALYSIS = {"recommendation": "retrain", "reasoning": "Performance degraded"}


def champion(bundle: Bundle, model_type: str, symbol: str) -> dict[str, Any] | None:
    return bundle.db[collections.CHAMPIONS].find_one({"_id": f"{model_type}:{symbol}:1h"})


def holdout(record: ModelRecord) -> tuple[int, int]:
    """Return the open times that bound the bars which the model was measured on."""
    return record.spec["split_ms"], record.spec["data_end_ms"]


def states_of_models(bundle: Bundle, symbol: str) -> dict[str, str]:
    return {model["_id"]: model["state"] for model in bundle.db[collections.MODELS].find({"symbol": symbol})}


def block_checkpoints(bundle: Bundle, run_id: str, symbol: str, *model_types: str) -> None:
    """Make a network's training fail as a broken disk does: its first checkpoint cannot be written."""
    for model_type in model_types:
        name = checkpoint_name(model_type, symbol, "1h", run_id)
        in_the_way = bundle.state_dir / "checkpoints" / f"{name}_epoch_0001.ckpt"
        in_the_way.mkdir(parents=True)


def assert_stored_as_measured(bundle: Bundle, model_id: str, model_path: str, measured: dict[str, Any]) -> ModelRecord:
    """The file is encrypted, and the model that is in the database scores on its hold-out what its training said."""
    record = ModelRegistry(bundle.db).get(model_id)
    assert Path(model_path).read_bytes()[:2] != b"PK", "a Keras file is a zip: this one must be encrypted"
    files = ModelFileStore(bundle.db, model_key(bundle.settings), bundle.state_dir / "elsewhere")
    candles = CandleStore(bundle.db).load(record.symbol, "1h")
    again = score_model(load_model(record, files), candles, *holdout(record))
    assert again.accuracy == pytest.approx(measured["val_accuracy"], abs=1e-6)
    assert again.skill == pytest.approx(measured["skill"], abs=1e-6)
    return record


@dataclass(frozen=True)
class Started:
    """Runs that were started together, so that one computes while another waits: name -> DAG and run id."""

    runs: dict[str, tuple[str, str]]

    def finish(self, bundle: Bundle, name: str) -> RunView:
        return bundle.finish(*self.runs[name], timeout_s=400)


@pytest.fixture(scope="module")
def started(environment: Bundle) -> Started:
    """Start the runs of this module that do not disturb each other."""
    environment.control.reset()
    runs = {}

    def start(name: str, dag_id: str, conf: dict[str, Any], *blocked: str) -> None:
        run_id = environment.run_id()
        block_checkpoints(environment, run_id, conf["symbol"], *blocked)
        runs[name] = (dag_id, environment.start(dag_id, conf, run_id))

    start("first models", RETRAIN, {"symbol": "SOLUSDT", "analysis_result": ANALYSIS, "days_of_data": 60, "epochs": 2})
    start("one fails", RETRAIN, {"symbol": "ADAUSDT", **SHORT}, "gru")
    for model_type, symbol in TRAINED.items():
        conf = {"model_type": model_type, "symbol": symbol, "epochs": 3, "deploy": False}
        start(model_type, "train_model", conf)
    return Started(runs)


def test_tc_async_056_and_058_first_models_are_trained_judged_and_deployed(bundle: Bundle, started: Started) -> None:
    run = started.finish(bundle, "first models")
    result = run.xcom("report")
    assert run.state == "success", run.story
    assert result["status"] == "success"
    assert set(result["models"]) == {"lstm", "gru", "transformer"}
    assert result["summary"]["successful_retrains"] == 3
    assert result["results"]["analysis_reasoning"] == "Performance degraded"
    for model_type, model in result["models"].items():
        assert {"old_accuracy", "new_accuracy", "deployed", "skill", "skill_interval", "edge"} <= set(model)
        assert model["old_accuracy"] is None
        pointer = champion(bundle, model_type, "SOLUSDT")
        assert (pointer is not None and pointer["model_id"] == model["model_id"]) == model["deployed"]
    stored = bundle.db[collections.RETRAIN_HISTORY].find_one({"_id": run.run_id})
    assert stored is not None
    assert stored["successful_count"] == 3
    assert stored["deployed_count"] == result["summary"]["deployed_models"]
    assert bundle.db[collections.LEASES].count_documents({"owner.run_id": run.run_id}) == 0
    (message,) = bundle.messages(run.run_id)
    assert delivered_everywhere(message)


@pytest.mark.long
def test_tc_async_057_a_model_below_the_rule_is_not_deployed_and_an_equal_one_is(bundle: Bundle) -> None:
    """The same training twice is equal and deploys; plain returns cannot be predicted, so that model must not."""
    conf = {"model_type": "lstm", "symbol": "LTCUSDT", "days_of_data": 30, "epochs": 1}
    first, equal = (bundle.run("train_model", conf) for _ in range(2))
    assert first.state == "success", first.story
    assert first.xcom("result")["deployed"] is True, first.xcom("result")["verdict"]
    assert equal.xcom("result")["deployed"] is True, equal.xcom("result")["verdict"]
    before = champion(bundle, "lstm", "LTCUSDT")
    assert before is not None
    assert before["model_id"] == equal.xcom("result")["model_id"]
    assert states_of_models(bundle, "LTCUSDT")[first.xcom("result")["model_id"]] == "archived"
    worse = bundle.run("train_model", {**conf, "target": "return"})
    result = worse.xcom("result")
    assert worse.state == "success", worse.story
    assert worse.tasks["lstm.deploy"] == "skipped"
    assert worse.tasks["lstm.keep"] == "success"
    assert result["deployed"] is False
    assert "not deployed" in result["verdict"]["reason"].lower()
    assert champion(bundle, "lstm", "LTCUSDT") == before
    assert states_of_models(bundle, "LTCUSDT")[result["model_id"]] == "archived"


@pytest.mark.long
def test_tc_async_009_a_training_that_diverges_fails_without_a_retry_and_leaves_the_champion(bundle: Bundle) -> None:
    before = champion(bundle, "lstm", "LTCUSDT")
    conf = {"model_type": "lstm", "symbol": "LTCUSDT", "epochs": 3, "learning_rate": 1.0}
    run = bundle.run("train_model", conf)
    assert run.state == "failed"
    assert run.tries["lstm.train"] == 1
    assert any("Training diverged: loss increased 10x" in message["body"] for message in bundle.messages(run.run_id))
    assert champion(bundle, "lstm", "LTCUSDT") == before


def test_one_network_of_three_fails_and_the_run_fails_but_the_others_are_deployed(
    bundle: Bundle, started: Started
) -> None:
    run = started.finish(bundle, "one fails")
    result = run.xcom("report")
    assert run.state == "failed", run.story
    assert run.tasks["gru.train"] == "failed"
    assert run.tries["gru.train"] == 2
    assert result["status"] == "partial"
    assert result["models"]["gru"]["status"] == "failed"
    assert result["models"]["gru"]["error"]
    assert champion(bundle, "gru", "ADAUSDT") is None
    for model_type in ("lstm", "transformer"):
        model, pointer = result["models"][model_type], champion(bundle, model_type, "ADAUSDT")
        assert model["status"] == "success"
        assert (pointer is not None) == model["deployed"]


def test_all_networks_fail_and_the_report_is_critical(bundle: Bundle, started: Started) -> None:
    for name in started.runs:
        started.finish(bundle, name)  # the exchange has no candles below: nobody else may ask it
    bundle.db[collections.CANDLES].delete_many({"symbol": "DOGEUSDT", "timeframe": "1h"})
    bundle.control.script("binance", "/api/v3/klines", json=[])
    run = bundle.run(RETRAIN, {"symbol": "DOGEUSDT", **SHORT})
    assert run.state == "failed", run.story
    assert run.ended(*(f"{model_type}.train" for model_type in NETWORKS)) == {"failed"}
    assert run.xcom("report")["status"] == "failed"
    assert run.xcom("report")["alert_level"] == "CRITICAL"
    assert "critical" in {message["severity"] for message in bundle.messages(run.run_id)}
    assert [champion(bundle, model_type, "DOGEUSDT") for model_type in NETWORKS] == [None] * 3
    assert bundle.db[collections.MODELS].count_documents({"symbol": "DOGEUSDT"}) == 0
    assert (
        bundle.db[f"{collections.MODEL_FILES_BUCKET}.files"].count_documents({"filename": {"$regex": "DOGEUSDT"}}) == 0
    )


def test_an_unknown_symbol_is_refused_before_any_work(bundle: Bundle) -> None:
    run = bundle.run(RETRAIN, {"symbol": "NOSUCHUSDT", **SHORT})
    assert run.state == "failed", run.story
    assert run.tasks["admit"] == "failed"
    assert run.tries["admit"] == 1
    assert run.tasks["refresh_candles"] == "upstream_failed"
    assert any("Invalid symbol: NOSUCHUSDT" in message["body"] for message in bundle.messages(run.run_id))


@pytest.mark.long
def test_tc_async_063_a_second_retraining_of_the_symbol_is_refused_while_one_runs(bundle: Bundle) -> None:
    conf = {"symbol": "XRPUSDT", "model_types": ["lstm"], "days_of_data": 30, "epochs": 1000}
    first = bundle.start(RETRAIN, conf)
    eventually(lambda: bundle.db[collections.LEASES].count_documents({"owner.run_id": first}) == 1)
    second = bundle.run(RETRAIN, {**conf, "epochs": 2})
    assert second.state == "failed", second.story
    assert second.tasks["admit"] == "failed"
    refusal = "Training already in progress for lstm+XRPUSDT"
    assert any(refusal in message["body"] for message in bundle.messages(second.run_id))
    bundle.client.cancel(RETRAIN, first)
    cancelled = bundle.finish(RETRAIN, first)
    assert cancelled.state == "failed", cancelled.story
    assert champion(bundle, "lstm", "XRPUSDT") is None
    third = bundle.run(RETRAIN, {**conf, "epochs": 2})
    assert third.tasks["admit"] == "success", "the claim of a run that is over must not hold anybody up"


def test_tc_async_062_the_newest_days_are_used_and_stale_candles_are_fetched_first(
    bundle: Bundle, started: Started
) -> None:
    run = started.finish(bundle, "first models")
    training = run.xcom("gru.train")
    newest = bundle.db[collections.CANDLES].find_one({"symbol": "SOLUSDT", "timeframe": "1h"}, sort=[("open_time", -1)])
    assert newest is not None
    assert training["data"]["bars"] == 60 * 24
    began = datetime.fromisoformat(bundle.client.run(RETRAIN, run.run_id)["start_date"])
    ago_ms = (datetime.now(UTC) - began) / timedelta(milliseconds=1)
    assert bundle.control.data()["now_ms"] - ago_ms - newest["open_time"] < 2 * 3_600_000
    job = bundle.db[collections.TRAINING_JOBS].find_one({"_id": f"{run.run_id}:gru"})
    assert job is not None
    assert job["status"] == "completed"


@pytest.mark.parametrize("model_type", NETWORKS)
def test_tc_async_016_017_each_retrained_network_is_stored_as_it_was_measured(
    bundle: Bundle, started: Started, model_type: str
) -> None:
    result = started.finish(bundle, "first models").xcom(f"{model_type}.train")
    assert (result["model_type"], result["symbol"]) == (model_type, "SOLUSDT")
    assert_stored_as_measured(bundle, result["model_id"], result["model_path"], result["training_results"])


@pytest.mark.parametrize("model_type", NETWORKS)
def test_tc_async_001_016_017_each_network_trains_through_train_model(
    bundle: Bundle, started: Started, model_type: str
) -> None:
    run = started.finish(bundle, model_type)
    result = run.xcom("result")
    assert run.state == "success", run.story
    assert (result["model_type"], result["symbol"]) == (model_type, TRAINED[model_type])
    assert result["training_results"]["epochs_completed"] == 3
    assert result["deployed"] is False
    job = bundle.db[collections.TRAINING_JOBS].find_one({"_id": run.run_id})
    assert job is not None
    assert job["status"] == "completed"
    assert [epoch["epoch"] for epoch in job["epoch_metrics"]] == [1, 2, 3]
    record = assert_stored_as_measured(bundle, result["model_id"], result["model_path"], result["training_results"])
    assert record.state == "candidate"


def test_wrong_parameters_are_refused_at_the_door_and_in_the_first_task(bundle: Bundle) -> None:
    with pytest.raises(AirflowApiError) as refused:
        bundle.start("train_model", {"epochs": 0})
    assert refused.value.status == 400
    run = bundle.run("train_model", {"colour": "red"})
    assert run.state == "failed", run.story
    assert run.tries["admit"] == 1
    assert any("unknown parameter 'colour'" in message["body"] for message in bundle.messages(run.run_id))
