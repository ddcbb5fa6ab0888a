"""`predict_price` and `rollback_model` as Airflow runs them, with deployed models in a real registry."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from include.market.timeframes import DAY_MS
from include.ml.encryption import model_key
from include.ml.light.weight_store import WeightStore
from include.ml.model_files import ModelFileStore
from include.ml.model_record import ModelRecord
from include.ml.registry import ModelRegistry
from include.store import collections
from ops.environment import ADMIN_NAME
from tests.chain.channels import delivered_everywhere
from tests.chain.conftest import Bundle, RunView
from tests.ml.plain_models import damage_weights, deploy

pytestmark = pytest.mark.slow

PREDICT, ROLLBACK = "predict_price", "rollback_model"
SYMBOL = "LINKUSDT"
HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Desk:
    """The environment, and a way to deploy models whose data end so long ago on the exchange's clock."""

    bundle: Bundle
    registry: ModelRegistry
    files: ModelFileStore
    weights: WeightStore

    def deploy(self, task_id: str, model_type: str = "lstm", days_old: float = 1.0) -> ModelRecord:
        from include.ml.predictor import save_model_bytes
        from tests.ml.light.networks import trained

        network = trained(model_type)
        end = self.bundle.control.data()["now_ms"] // HOUR_MS * HOUR_MS - round(days_old * DAY_MS)
        spec = replace(network.spec, symbol=SYMBOL, data_end_ms=end)
        content = save_model_bytes(network.model)
        return deploy(
            self.registry, self.files, self.weights, spec, network.arrays, task_id=task_id, content=content, skill=0.25
        )

    def champion(self, model_type: str = "lstm") -> str | None:
        pointer = self.registry.pointer(model_type, SYMBOL, "1h")
        return pointer.model_id if pointer else None

    def predict(self, **conf: Any) -> RunView:
        return self.bundle.run(PREDICT, {"symbol": SYMBOL, "model_type": "lstm", **conf})

    def said(self, run: RunView) -> str:
        return "\n".join(message["body"] for message in self.bundle.messages(run.run_id))


@pytest.fixture
def desk(bundle: Bundle) -> Desk:
    key = model_key(bundle.settings)
    for name in (collections.CHAMPIONS, collections.DEPLOYMENTS, collections.CHAMPION_FAILURES, collections.OUTBOX):
        place = {"$regex": f":{SYMBOL}:"}
        bundle.db[name].delete_many({"$or": [{"_id": place}, {"champion_id": place}]})
    files = ModelFileStore(bundle.db, key, bundle.state_dir / "elsewhere")
    return Desk(bundle, ModelRegistry(bundle.db), files, WeightStore(bundle.db, key))


@pytest.mark.critical
def test_tc_async_013_24_hours_through_the_dag_and_again_from_the_cache(desk: Desk) -> None:
    record = desk.deploy(f"predict {datetime.now(UTC).timestamp()}")
    run = desk.predict()
    answer = run.xcom("predict")
    assert run.state == "success", run.story
    assert (answer["status"], answer["model_id"], answer["cached"]) == ("success", record.id, False)
    assert len(answer["predictions"]) == 24
    assert all({"hour", "predicted_price", "confidence"} <= set(point) for point in answer["predictions"])
    confidences = [point["confidence"] for point in answer["predictions"]]
    assert confidences == sorted(set(confidences), reverse=True)
    stored = desk.bundle.db[collections.PRICE_PREDICTIONS].find_one({"_id": run.run_id})
    assert stored is not None
    assert stored["predictions"] == answer["predictions"]
    assert stored["timestamp"].tzinfo is not None
    again = desk.predict(model_type="best", horizon_hours=3).xcom("predict")
    assert (again["cached"], again["model_type"]) == (True, "lstm")
    assert again["predictions"] == answer["predictions"][:3]


def test_three_failures_in_a_row_bring_the_previous_champion_back_and_the_fourth_run_answers(desk: Desk) -> None:
    stamp = datetime.now(UTC).timestamp()
    old, new = desk.deploy(f"old {stamp}"), desk.deploy(f"new {stamp}")
    damage_weights(desk.bundle.db, new)
    runs = []
    for number in range(3):
        assert desk.champion() == new.id, f"before run {number + 1}"
        runs.append(desk.predict())
    for run in runs:
        assert run.state == "failed", run.story
        assert run.tries["predict"] == 1
        assert f"Model {new.id} cannot be read" in desk.said(run)
    assert desk.champion() == old.id
    assert f"rolled back from {new.id} to {old.id}" in desk.said(runs[2])
    [alert] = desk.bundle.db[collections.OUTBOX].find({"severity": "critical", "body": {"$regex": new.id}})
    assert delivered_everywhere(alert)
    assert f"{old.id} forecasts again" in alert["body"]
    assert any(new.id in str(sent) for sent in desk.bundle.control.messages("slack"))
    fourth = desk.predict()
    assert fourth.state == "success", fourth.story
    assert fourth.xcom("predict")["model_id"] == old.id


def test_a_model_that_is_too_old_is_refused_with_the_advice_to_train(desk: Desk) -> None:
    desk.deploy(f"aged {datetime.now(UTC).timestamp()}", days_old=31)
    aged = desk.predict()
    assert aged.state == "failed", aged.story
    assert aged.tries["predict"] == 1
    assert "days old, forecasts are refused beyond 30: train it: run the DAG train_model" in desk.said(aged)
    assert desk.bundle.db[collections.PRICE_PREDICTIONS].find_one({"_id": aged.run_id}) is None


def test_a_rollback_by_hand_is_recorded_with_reason_and_user_and_stops_at_the_first(desk: Desk) -> None:
    stamp = datetime.now(UTC).timestamp()
    old, new = desk.deploy(f"old {stamp}"), desk.deploy(f"new {stamp}")
    conf = {"model_type": "lstm", "symbol": SYMBOL, "timeframe": "1h", "reason": "loses money since Monday"}
    run = desk.bundle.run(ROLLBACK, conf)
    assert run.state == "success", run.story
    result = run.xcom("roll_back")
    assert (result["model_id"], result["previous_model_id"]) == (old.id, new.id)
    assert (result["rolled_back_by"], desk.champion()) == (ADMIN_NAME, old.id)
    record = desk.bundle.db[collections.DEPLOYMENTS].find_one({"_id": f"lstm:{SYMBOL}:1h:v{result['version']}"})
    assert record is not None
    assert (record["kind"], record["why"]) == ("rollback", "loses money since Monday")
    assert record["who"] == f"{ADMIN_NAME} (rollback_model/{run.run_id})"
    [message] = desk.bundle.db[collections.OUTBOX].find(
        {"dedupe_key": f"rollback:lstm:{SYMBOL}:1h:v{result['version']}"}
    )
    assert (message["severity"], "loses money since Monday" in message["body"]) == ("warning", True)
    further = desk.bundle.run(ROLLBACK, conf)
    assert further.state == "failed", further.story
    assert further.tries["admit"] == 1
    assert f"{old.id} is the first champion of lstm:{SYMBOL}:1h: nothing to roll back to" in desk.said(further)
