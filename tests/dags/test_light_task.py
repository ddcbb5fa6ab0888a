"""A prediction that is cached, as a Celery worker's task answers it: TensorFlow and all that is heavy stays out."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from include.market.binance import BinanceClient
from include.ml.prediction.market import HOUR_MS, Market, newest_market
from include.ml.prediction.predict import Predictor
from include.ml.prediction.question import Question, Seen
from include.settings import Settings
from include.store.collections import PRICE_PREDICTIONS
from include.store.result_cache import result_cache
from sandbox.mongod import Mongod
from tests.dags.conftest import worker_environment
from tests.market.binance_server import running_binance
from tests.ml.plain_models import KEY, NOW_MS, PlainBench
from tests.store.redis_server import running_redis

AS_A_WORKER = """
import json, sys, threading
from types import SimpleNamespace
from airflow.providers.celery.executors.celery_executor_utils import app

app.loader.import_default_modules()
threads, before = [thread.name for thread in threading.enumerate()], set(sys.modules)
settings_read = sys.modules["include.settings"].get_settings.cache_info().misses
from dags.wiring.prediction import predict

params = {"symbol": "BTCUSDT", "model_type": "lstm", "horizon_hours": 3}
context = {
    "params": params, "run_id": "light", "ti": SimpleNamespace(dag_id="predict_price", run_id="light", try_number=1)
}
answer = predict(context)
heavy = [name for name in ("tensorflow", "keras", "pandas", "scipy", "matplotlib", "openai") if name in sys.modules]
print(json.dumps({
    "cached": answer["cached"], "heavy": heavy, "threads": threads,
    "settings_read": settings_read, "imported": sorted(set(sys.modules) - before),
}))
"""


@pytest.fixture
def answered(
    db: Database[dict[str, Any]], market_data_dir: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A champion, and its answer in a Redis, whose address this is; the exchange is gone again."""
    bench = PlainBench(db, market_data_dir, tmp_path / "cache")
    bench.champion("first")
    with running_redis(tmp_path_factory.mktemp("redis")) as redis_url:
        settings = Settings(redis_url=redis_url)  # type: ignore[arg-type]
        with running_binance() as exchange:
            exchange.serve(bench.candles)
            exchange.now_ms = NOW_MS + HOUR_MS // 2

            def market(symbol: str) -> Market:
                with BinanceClient(exchange.url) as client:
                    return newest_market(client, bench.candle_store, symbol)

            predictor = Predictor(db, bench.weights, bench.files, result_cache(db, settings), market, settings)
            assert predictor.predict(Question("BTCUSDT", "lstm", 24), "heavy", Seen())["cached"] is False
        yield redis_url


@pytest.mark.critical
def test_a_cached_answer_imports_neither_tensorflow_nor_anything_else_that_takes_time(
    answered: str, db: Database[dict[str, Any]], mongod: Mongod, tmp_path: Path
) -> None:
    environment = {
        **worker_environment(tmp_path),
        "AIRFLOW_CONN_MONGO_DEFAULT": json.dumps({"conn_type": "mongo", "host": "127.0.0.1", "port": mongod.port}),
        "TRADING_OPS_STATE_DIR": str(tmp_path),
        "TRADING_OPS_MONGO_DATABASE": db.name,
        "TRADING_OPS_MODEL_ENCRYPTION_KEY": base64.b64encode(KEY).decode(),
        "TRADING_OPS_REDIS_URL": answered,
        "TRADING_OPS_BINANCE_BASE_URL": "http://127.0.0.1:1",
    }
    ran = subprocess.run(
        [sys.executable, "-c", AS_A_WORKER],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout.strip().splitlines()[-1])
    assert said["cached"] is True
    assert said["heavy"] == []
    assert said["threads"] == ["MainThread"], "a fork would not have the others"
    assert said["settings_read"] == 0, "a wrong one is the task's failure, not the worker's"
    # In a worker Airflow's supervisor has imported its own parts before the task begins.
    assert [name for name in said["imported"] if not name.startswith("airflow.")] == []
    assert db[PRICE_PREDICTIONS].count_documents({"_id": "light"}) == 1
