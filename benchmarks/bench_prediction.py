"""One price prediction in a fresh process, as its task does it: from the params to the stored answer.

A real mongod holds the candles and a champion of standard size; the exchange is a clock on loopback. Counted is the
step of the task with all its imports but Airflow's, which the worker has done before. Exits with 1 when the cold answer
takes 3 s or more.

usage: python -m benchmarks.bench_prediction   (about half a minute)
"""

from __future__ import annotations

import base64
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pymongo
from bson.codec_options import CodecOptions

from benchmarks.bench_candles import START_MS, one_year
from include.market.candle_store import CandleStore
from include.market.timeframes import DAY_MS
from include.ml.drift import feature_distribution
from include.ml.features import WARMUP_BARS, compute_features
from include.ml.labels import QUANTILE_HORIZONS, QUANTILES
from include.ml.light.weight_store import WeightStore
from include.ml.model_files import StoredFile
from include.ml.model_record import TrainedCandidate
from include.ml.registry import ModelRegistry
from include.ml.spec import ModelSpec
from include.store.collections import ensure_indexes
from sandbox.mongod import start_mongod

REPOSITORY = Path(__file__).resolve().parent.parent
LIMIT_S = 3.0
ROUNDS = 5
KEY = bytes(range(32))
UNITS = (64, 32)

TASK = """
import airflow.sdk, airflow.providers.mongo.hooks.mongo, json, sys, time
begun = time.perf_counter()
from dags.wiring.prediction import predict
class Instance:
    dag_id, try_number = "predict_price", 1
    run_id = sys.argv[1]
answer = predict({"ti": Instance(), "run_id": sys.argv[1], "params": {"model_type": "lstm", "horizon_hours": 48}})
seconds = time.perf_counter() - begun
print(json.dumps({"seconds": seconds, "cached": answer["cached"], "hours": len(answer["predictions"]),
                  "tensorflow": "tensorflow" in sys.modules}))
"""


def main() -> int:
    """Measure and print; return the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        mongod = start_mongod(Path(folder))
        try:
            now_ms = fill(mongod.uri)
            with Clock(now_ms) as url:
                runs = [ask(mongod.port, url, folder, str(number), ttl_s=0) for number in range(ROUNDS)]
                ask(mongod.port, url, folder, "fills the cache", ttl_s=900)
                cached = ask(mongod.port, url, folder, "from the cache", ttl_s=900)
        finally:
            mongod.stop()
    if any(run["tensorflow"] or run["cached"] or run["hours"] != 48 for run in runs) or not cached["cached"]:
        raise AssertionError(f"not what was to be measured: {runs}, {cached}")
    cold_s = statistics.median(run["seconds"] for run in runs)
    print(f"48 hours of one symbol, a fresh process each, median of {ROUNDS}, no TensorFlow loaded")
    print(f"  computed     {cold_s:6.2f} s   (limit {LIMIT_S:.0f} s)")
    print(f"  from cache   {cached['seconds']:6.2f} s")
    return 0 if cold_s < LIMIT_S else 1


def fill(uri: str) -> int:
    """Store a year of candles and a champion; return the moment when the newest candle has just closed."""
    candles = one_year()
    now_ms = int(candles.open_time[-1]) + candles.bar_ms
    names, features = compute_features(candles)
    with pymongo.MongoClient[dict[str, Any]](uri) as client:
        db = client.get_database("trading_ops", codec_options=CodecOptions(tz_aware=True))
        ensure_indexes(db)
        CandleStore(db).upsert(candles)
        registry, name = ModelRegistry(db), "lstm_BTCUSDT_1h_20240101_000000.keras"
        count = len(names)
        spec = ModelSpec(
            "lstm", "BTCUSDT", "1h", "trend", 8, 60, names, (0.0,) * count, (1.0,) * count, QUANTILE_HORIZONS,
            QUANTILES, START_MS, now_ms - 9 * DAY_MS, now_ms - 8 * DAY_MS, now_ms - DAY_MS, 1, 900, 200, 200, "0" * 64,
        )  # fmt: skip
        candidate = TrainedCandidate(
            "lstm", "BTCUSDT", "1h", StoredFile(name, "0" * 64, 1, "0" * 24), spec.to_dict(), {"skill": 0.0}, {},
            "bench",
            weights_sha256=WeightStore(db, KEY).save(name, weights(count)),
            feature_distribution=feature_distribution(names, features[WARMUP_BARS:]),
        )  # fmt: skip
        registry.promote(registry.register(candidate).model_id, None, who="bench", why="bench")
    return now_ms


def weights(features: int) -> dict[str, np.ndarray]:
    """Return random weights of an LSTM of standard size."""
    rng, width, horizons = np.random.default_rng(7), features, len(QUANTILE_HORIZONS)
    shapes: dict[str, tuple[int, ...]] = {}
    for number, units in enumerate(UNITS, start=1):
        shapes[f"lstm_{number}/kernel"] = (width, 4 * units)
        shapes[f"lstm_{number}/recurrent_kernel"] = (units, 4 * units)
        shapes[f"lstm_{number}/bias"] = (4 * units,)
        width = units
    shapes |= {"skip/kernel": (features, 1), "skip/bias": (1,), "baseline/kernel": (features, 1), "baseline/bias": (1,)}
    shapes |= {"trunk/kernel": (width, 1), "quantiles/kernel": (width, 3 * horizons), "quantiles/bias": (3 * horizons,)}
    return {name: rng.normal(0, 0.05, shape).astype(np.float32) for name, shape in shapes.items()}


class Clock:
    """An exchange that knows nothing but the time."""

    def __init__(self, now_ms: int) -> None:
        body = json.dumps({"serverTime": now_ms}).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> str:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def ask(port: int, exchange: str, folder: str, run_id: str, *, ttl_s: int) -> dict[str, Any]:
    """Answer one question in a process of its own; return what it measured."""
    variables = {
        **os.environ,
        "AIRFLOW_HOME": folder,
        "PYTHONPATH": str(REPOSITORY),
        "AIRFLOW_CONN_MONGO_DEFAULT": json.dumps({"conn_type": "mongo", "host": "127.0.0.1", "port": port}),
        "TRADING_OPS_BINANCE_BASE_URL": exchange,
        "TRADING_OPS_STATE_DIR": folder,
        "TRADING_OPS_MODEL_ENCRYPTION_KEY": base64.b64encode(KEY).decode(),
        "TRADING_OPS_PREDICTION_CACHE_TTL_S": str(ttl_s),
    }
    answer = subprocess.run(
        [sys.executable, "-c", TASK, run_id], env=variables, cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    if answer.returncode:
        raise RuntimeError(answer.stderr)
    measured: dict[str, Any] = json.loads(answer.stdout.strip().splitlines()[-1])
    return measured


if __name__ == "__main__":
    sys.exit(main())
