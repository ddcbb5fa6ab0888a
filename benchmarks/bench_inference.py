"""Forecasts without TensorFlow: against Keras, and the whole way from MongoDB in a fresh process.

1. 300 networks of standard size (100 LSTM, 100 GRU, 100 Transformer), one window each: weights from bytes and the
   stacked NumPy forward pass, against a loop that loads each Keras file from bytes and calls `model(x,
   training=False)`. Both sides' outputs are compared. Exits with 1 when the light way is not at least 10 times faster,
   or when the outputs differ by more than 1e-5.
2. 100 and 1,000 symbols with three champions each: a fresh process reads registry, weights and candles from a real
   mongod in chunks of 100 symbols, verifies, decrypts and forecasts. Exits with 1 above 6 s and 30 s.

usage: python -m benchmarks.bench_inference [--symbols 100,1000] [--per-type 100]   (about 3 minutes)
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pymongo
from pymongo.database import Database

from include.market.candle_store import CandleStore
from include.market.candles import Candles
from include.ml.config import MODEL_TYPES, TrainingConfig
from include.ml.dataset import build_dataset
from include.ml.light.agreement import TOLERANCE
from include.ml.light.flat import from_bytes, to_bytes
from include.ml.light.forecast import bars_needed
from include.ml.light.forward import forward
from include.ml.light.weight_store import WeightStore
from include.ml.model_files import StoredFile
from include.ml.model_names import model_file_name
from include.ml.model_record import TrainedCandidate, champion_id
from include.ml.registry import ModelRegistry
from include.ml.spec import ModelSpec
from include.store.collections import CHAMPIONS, MODELS, ensure_indexes
from sandbox.mongod import start_mongod

REPOSITORY = Path(__file__).resolve().parent.parent
FASTER_AT_LEAST = 10.0
LIMITS_S = {100: 6.0, 1000: 30.0}
ROUNDS = 3
WINDOW = 60
NOW = datetime(2025, 11, 22, 3, 0, tzinfo=UTC)
START_MS = 1_704_067_200_000  # 2024-01-01 00:00 UTC
KEY = bytes(range(32))

Arrays = Mapping[str, np.ndarray]

WHOLE_WAY = """
import time
begun = time.perf_counter()
import json, sys
from pathlib import Path
import pymongo
from include.market.candle_store import CandleStore
from include.ml.light.champions import LightChampion, load_champions
from include.ml.light.forecast import Forecast, SymbolFeatures, forecast_newest
from include.ml.light.weight_store import WeightStore
from include.ml.model_files import ModelFileStore

uri, name, key, count = sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3]), int(sys.argv[4])
db = pymongo.MongoClient(uri, tz_aware=True)[name]
weights, files = WeightStore(db, key), ModelFileStore(db, key, Path("unused"))
seconds = {"imports": time.perf_counter() - begun, "champions": 0.0, "candles": 0.0, "features": 0.0, "forward": 0.0}
forecasts = 0
for at in range(0, count, 100):
    symbols = [f"S{number}USDT" for number in range(at, min(at + 100, count))]
    times = [time.perf_counter()]
    champions = load_champions(
        db, weights, files, [(kind, symbol, "1h") for symbol in symbols for kind in ("lstm", "gru", "transformer")]
    )
    assert all(isinstance(champion, LightChampion) for champion in champions.values()), champions
    times.append(time.perf_counter())
    candles = CandleStore(db).load_many(symbols, "1h")
    times.append(time.perf_counter())
    features = {symbol: SymbolFeatures.of(candles[symbol]) for symbol in symbols}
    times.append(time.perf_counter())
    results = forecast_newest(list(champions.values()), features)
    times.append(time.perf_counter())
    assert all(isinstance(result, Forecast) for result in results.values()), results
    forecasts += len(results)
    for stage, first, last in zip(("champions", "candles", "features", "forward"), times, times[1:]):
        seconds[stage] += last - first
# Not getrusage: its maximum begins with that of the process that started this one.
peak_kb = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
print(json.dumps({
    "forecasts": forecasts, "stages": seconds, "seconds": time.perf_counter() - begun,
    "peak_mb": peak_kb / 1024,
    "tensorflow": "tensorflow" in sys.modules,
}))
"""


def candles_of(symbol: str, seed: int, bars: int) -> Candles:
    """Return hourly candles of a random walk."""
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0, 0.005, bars)))
    opened = np.concatenate([[100.0], close[:-1]])
    high, low = np.maximum(opened, close) * 1.002, np.minimum(opened, close) * 0.998
    times = START_MS + np.arange(bars, dtype=np.int64) * 3_600_000
    return Candles(symbol, "1h", times, opened, high, low, close, rng.uniform(1, 900, bars))


def specs() -> dict[str, ModelSpec]:
    """Return the description of a network per type."""
    candles = candles_of("BTCUSDT", 1, 800)
    return {
        kind: build_dataset(candles, TrainingConfig.from_dict({"model_type": kind}), bars=500).spec
        for kind in MODEL_TYPES
    }


def against_keras(described: Mapping[str, ModelSpec], per_type: int) -> tuple[bool, dict[str, Arrays]]:
    """Measure part 1; return whether its limits are kept, and one network's weights per type."""
    from include.ml.light.export import export_arrays
    from include.ml.networks import build_network
    from include.ml.predictor import load_model_bytes, save_model_bytes

    rng = np.random.default_rng(3)
    rows, totals, worst, samples = [], {"light": 0.0, "keras": 0.0}, 0.0, {}
    for kind in MODEL_TYPES:
        spec = described[kind]
        model = build_network(TrainingConfig.from_dict({"model_type": kind}), spec)
        keras_files, flat_files = [], []
        for _ in range(per_type):
            for variable in model.weights:
                reach = 0.7 / np.sqrt(variable.shape[0]) if len(variable.shape) > 1 else 0.3
                variable.assign(reach * rng.standard_normal(variable.shape))
            keras_files.append(save_model_bytes(model))
            flat_files.append(to_bytes(export_arrays(model)))
        samples[kind] = from_bytes(flat_files[0], kind)
        windows = np.clip(rng.standard_normal((per_type, WINDOW, len(spec.feature_names))), -6, 6).astype(np.float32)

        light_s = []
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            light = forward(kind, [from_bytes(data, kind) for data in flat_files], windows)
            light_s.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        answers = [load_model_bytes(data)(windows[at : at + 1], training=False) for at, data in enumerate(keras_files)]
        keras_s = time.perf_counter() - begun
        probability = np.array([np.asarray(answer["probability"])[0, 0] for answer in answers])
        quantiles = np.concatenate([np.asarray(answer["quantiles"]) for answer in answers])
        difference = max(np.abs(light.probability_up - probability).max(), np.abs(light.quantiles - quantiles).max())
        worst = max(worst, float(difference))
        median = statistics.median(light_s)
        totals["light"] += median
        totals["keras"] += keras_s
        rows.append(f"| {per_type} {kind} | {median:.3f} | {keras_s:.1f} | {keras_s / median:.0f} | {difference:.1e} |")
    ratio = totals["keras"] / totals["light"]
    print("\n| networks | light, s | Keras, s | times faster | largest difference |\n|---|---|---|---|---|")
    print("\n".join(rows))
    print(f"| all | {totals['light']:.3f} | {totals['keras']:.1f} | {ratio:.0f} | {worst:.1e} |")
    print(f"Limits: at least {FASTER_AT_LEAST:.0f} times faster, difference at most {TOLERANCE:g}.")
    return ratio >= FASTER_AT_LEAST and worst <= TOLERANCE, samples


def fill(
    db: Database[dict[str, Any]], described: Mapping[str, ModelSpec], samples: Mapping[str, Arrays], symbols: int
) -> None:
    """Store candles and three champions for each symbol; the documents are copies of one that the registry made."""
    ensure_indexes(db)
    registry, weights, candles = ModelRegistry(db), WeightStore(db, KEY), CandleStore(db)
    rng = np.random.default_rng(4)
    models, pointers = [], []
    for kind in MODEL_TYPES:
        spec = described[kind]
        file = StoredFile(model_file_name(kind, "BTCUSDT", "1h", NOW), "0" * 64, 1, "0" * 24)
        made = registry.register(TrainedCandidate(kind, "BTCUSDT", "1h", file, spec.to_dict(), {}, {}, "run"), NOW)
        registry.promote(made.model_id, None, who="bench", why="first", now=NOW)
        model = db[MODELS].find_one({"_id": made.model_id})
        pointer = db[CHAMPIONS].find_one({"_id": champion_id(kind, "BTCUSDT", "1h")})
        assert model is not None
        assert pointer is not None
        for number in range(symbols):
            symbol = f"S{number}USDT"
            arrays = {
                name: (array * rng.uniform(0.8, 1.2, array.shape)).astype(np.float32)
                for name, array in samples[kind].items()
            }
            name, model_id = model_file_name(kind, symbol, "1h", NOW), f"run-{symbol}:{kind}"
            models.append(
                {**model, "_id": model_id, "symbol": symbol, "file": replace(file, name=name).to_dict(),
                 "spec": replace(spec, symbol=symbol).to_dict(), "weights_sha256": weights.save(name, arrays)}
            )  # fmt: skip
            pointers.append({**pointer, "_id": champion_id(kind, symbol, "1h"), "model_id": model_id})
    db[MODELS].insert_many(models)
    db[CHAMPIONS].insert_many(pointers)
    for number in range(symbols):
        candles.upsert(candles_of(f"S{number}USDT", number, bars_needed()))


def whole_way(uri: str, name: str, count: int) -> dict[str, Any]:
    """Run the forecasts of that many symbols in a fresh process; `process_s` includes the interpreter's start."""
    begun = time.perf_counter()
    answer = subprocess.run(
        [sys.executable, "-c", WHOLE_WAY, uri, name, KEY.hex(), str(count)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode:
        raise RuntimeError(answer.stderr)
    return {**json.loads(answer.stdout), "process_s": time.perf_counter() - begun}


def from_mongodb(described: Mapping[str, ModelSpec], samples: Mapping[str, Arrays], counts: list[int]) -> bool:
    """Measure part 2; return whether its limits are kept."""
    kept = True
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        mongod = start_mongod(Path(folder))
        try:
            with pymongo.MongoClient[dict[str, Any]](mongod.uri) as client:
                fill(client["bench"], described, samples, max(counts))
            for count in counts:
                found = whole_way(mongod.uri, "bench", count)
                limit = LIMITS_S.get(count, float("inf"))
                kept = kept and found["process_s"] <= limit and not found["tensorflow"]
                stages = " | ".join(f"{seconds:.2f}" for seconds in found["stages"].values())
                rows.append(
                    f"| {count} | {found['forecasts']} | {found['process_s']:.2f} | {limit:.0f} | {stages} "
                    f"| {found['peak_mb']:.0f} |"
                )
        finally:
            mongod.stop()
    print(
        "\n| symbols | forecasts | whole process, s | limit, s | imports | champions | candles | features | forward "
        "| peak, MB |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    print("\n".join(rows))
    return kept


def main() -> int:
    """Measure and print; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", default="100,1000")
    parser.add_argument("--per-type", type=int, default=100)
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    described = specs()
    faster, samples = against_keras(described, options.per_type)
    in_time = from_mongodb(described, samples, [int(count) for count in options.symbols.split(",")])
    return 0 if faster and in_time else 1


if __name__ == "__main__":
    sys.exit(main())
