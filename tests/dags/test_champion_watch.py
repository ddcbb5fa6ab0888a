"""The daily scoring counts broken champions where the forecasts count theirs, and people hear of a rollback."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pymongo.database import Database

from include.errors import IntegrityError
from include.settings import get_settings
from sandbox.mongod import Mongod
from tests.ml.plain_models import KEY, NOW_MS, PlainBench, damage_weights


@pytest.fixture
def bench(
    db: Database[dict[str, Any]],
    mongod: Mongod,
    market_data_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[PlainBench]:
    connection = {"conn_type": "mongo", "host": "127.0.0.1", "port": mongod.port}
    monkeypatch.setenv("AIRFLOW_CONN_MONGO_DEFAULT", json.dumps(connection))
    monkeypatch.setenv("TRADING_OPS_MONGO_DATABASE", db.name)
    monkeypatch.setenv("TRADING_OPS_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("TRADING_OPS_MODEL_ENCRYPTION_KEY", base64.b64encode(KEY).decode())
    monkeypatch.setenv("TRADING_OPS_NOTIFICATIONS_ENABLED", "0")
    get_settings.cache_clear()
    yield PlainBench(db, market_data_dir, tmp_path / "cache")
    get_settings.cache_clear()


def score(dag_bag: Any, run_id: str) -> list[dict[str, Any]]:
    """Run the task `score` of `score_champions` as its worker would."""
    work = dag_bag.dags["score_champions"].get_task("score").python_callable
    ti = SimpleNamespace(dag_id="score_champions", run_id=run_id, try_number=1)
    scores: list[dict[str, Any]] = work(NOW_MS, ti=ti, run_id=run_id)
    return scores


def test_a_champion_that_three_nightly_scorings_cannot_read_is_rolled_back(dag_bag: Any, bench: PlainBench) -> None:
    """The file of both is no Keras file; the plain weights of the former one are whole, so forecasts can use it."""
    old, new = bench.champion("old"), bench.champion("new")
    damage_weights(bench.db, new)
    for number in range(3):
        assert bench.present == new.id
        with pytest.raises(IntegrityError, match="champions that cannot be read"):
            score(dag_bag, f"scheduled__{number}")
    assert bench.present == old.id
    record = bench.db["deployments"].find_one({"kind": "rollback"})
    assert record is not None
    assert record["who"] == "automatic (score_champions/scheduled__2)"
    [message] = bench.db["outbox"].find({"severity": "critical"})
    assert message["dedupe_key"] == "rollback:lstm:BTCUSDT:1h:v3"


def test_another_key_than_the_models_rolls_nothing_back(
    dag_bag: Any, bench: PlainBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.champion("old")
    new = bench.champion("new")
    monkeypatch.setenv("TRADING_OPS_MODEL_ENCRYPTION_KEY", base64.b64encode(bytes(32)).decode())
    get_settings.cache_clear()
    for number in range(4):
        with pytest.raises(IntegrityError, match="encrypted with another key"):
            score(dag_bag, f"scheduled__{number}")
    assert bench.present == new.id
    assert bench.db["champion_failures"].count_documents({}) == 0
