"""Champions for many symbols, put into a real database in a moment: random weights of the real layouts.

One model is registered and promoted as the bundle does it; the others are copies of its documents under other names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymongo.database import Database

from include.market.timeframes import DAY_MS
from include.ml.drift import feature_distribution
from include.ml.features import WARMUP_BARS, compute_features
from include.ml.labels import QUANTILE_HORIZONS, QUANTILES
from include.ml.light.champions import LightChampion
from include.ml.light.layout import GATES
from include.ml.light.weight_store import WeightStore
from include.ml.model_files import StoredFile
from include.ml.model_record import ModelRecord, TrainedCandidate, champion_id
from include.ml.registry import ModelRegistry
from include.ml.spec import ModelSpec
from include.store.collections import CHAMPIONS, MODEL_WEIGHTS, MODELS
from tests.market.series import make_candles

NETWORKS = ("lstm", "gru", "transformer")
UNITS = {"small": (16,), "standard": (64, 32)}
WIDTH, HEADS = {"small": 16, "standard": 32}, 4

_BARS = make_candles(900, seed=11)
NAMES, _FEATURES = compute_features(_BARS)
DISTRIBUTION = feature_distribution(NAMES, _FEATURES[WARMUP_BARS:])

Arrays = dict[str, NDArray[np.float32]]


def random_arrays(model_type: str, rng: np.random.Generator, size: str = "small") -> Arrays:
    """Return weights of a network of the real layout."""
    shapes, width = _transformer(size) if model_type == "transformer" else _recurrent(model_type, size)
    features, outputs = len(NAMES), 3 * len(QUANTILE_HORIZONS)
    shapes |= {
        "skip/kernel": (features, 1), "skip/bias": (1,), "trunk/kernel": (width, 1), "baseline/kernel": (features, 1),
        "baseline/bias": (1,), "quantiles/kernel": (width, outputs), "quantiles/bias": (outputs,),
    }  # fmt: skip
    return {
        name: (rng.standard_normal(shape) * 0.5 / np.sqrt(shape[0])).astype(np.float32)
        for name, shape in shapes.items()
    }


def _recurrent(kind: str, size: str) -> tuple[dict[str, tuple[int, ...]], int]:
    shapes: dict[str, tuple[int, ...]] = {}
    width = len(NAMES)
    for number, units in enumerate(UNITS[size], 1):
        columns = GATES[kind] * units
        shapes[f"{kind}_{number}/kernel"] = (width, columns)
        shapes[f"{kind}_{number}/recurrent_kernel"] = (units, columns)
        shapes[f"{kind}_{number}/bias"] = (columns,) if kind == "lstm" else (2, columns)
        width = units
    return shapes, width


def _transformer(size: str) -> tuple[dict[str, tuple[int, ...]], int]:
    width, blocks = WIDTH[size], len(UNITS[size])
    each = (HEADS, width // HEADS)
    shapes: dict[str, tuple[int, ...]] = {"projection/kernel": (len(NAMES), width), "projection/bias": (width,)}
    for number in range(1, blocks + 1):
        for name in ("query", "key", "value"):
            shapes[f"attention_{number}/{name}/kernel"] = (width, *each)
            shapes[f"attention_{number}/{name}/bias"] = each
        shapes[f"attention_{number}/attention_output/kernel"] = (*each, width)
        shapes[f"attention_{number}/attention_output/bias"] = (width,)
        shapes[f"mlp_in_{number}/kernel"] = (width, 4 * width)
        shapes[f"mlp_in_{number}/bias"] = (4 * width,)
        shapes[f"mlp_out_{number}/kernel"] = (4 * width, width)
        shapes[f"mlp_out_{number}/bias"] = (width,)
    norms = ["final_norm", *(f"{part}_norm_{n}" for part in ("attention", "mlp") for n in range(1, blocks + 1))]
    for name in norms:
        shapes |= {f"{name}/gamma": (width,), f"{name}/beta": (width,)}
    return shapes, width


def spec_of(model_type: str, symbol: str, timeframe: str, end_ms: int) -> ModelSpec:
    """Return the description of a model whose newest candle closed at `end_ms`."""
    count = len(NAMES)
    return ModelSpec(
        model_type, symbol, timeframe, "trend", 8, 60, NAMES, (0.0,) * count, (1.0,) * count, QUANTILE_HORIZONS,
        QUANTILES, end_ms - 50 * DAY_MS, end_ms - 8 * DAY_MS, end_ms - 7 * DAY_MS, end_ms, 1, 900, 200, 200, "0" * 64,
    )  # fmt: skip


def file_name(model_type: str, symbol: str, timeframe: str) -> str:
    return f"{model_type}_{symbol}_{timeframe}_20251122_143022.keras"


def champion(
    model_type: str, symbol: str, arrays: Arrays, end_ms: int, timeframe: str = "1h", version: int = 1
) -> LightChampion:
    """Return a champion as `load_champions` does, without a database."""
    spec = spec_of(model_type, symbol, timeframe, end_ms)
    record = ModelRecord(
        f"made:{symbol}:{model_type}", model_type, symbol, timeframe, "champion",
        StoredFile(file_name(model_type, symbol, timeframe), "0" * 64, 1, "0" * 24), spec.to_dict(),
        {"accuracy": 0.71, "baseline_accuracy": 0.70, "skill": 0.01, "edge": False}, {}, "made",
        datetime.now(UTC), None, DISTRIBUTION,
    )  # fmt: skip
    return LightChampion(record, spec, arrays, version)


def deploy(
    db: Database[dict[str, Any]],
    key: bytes,
    symbols: Sequence[str],
    end_ms: int,
    *,
    model_types: Sequence[str] = NETWORKS,
    timeframe: str = "1h",
    size: str = "small",
    seed: int = 1,
    biased: float = 0.0,
) -> None:
    """Make random models the champions of all these places.

    :param end_ms: when the newest candle closed that they have seen.
    :param biased: added to the logit of the first symbol's models, 2 makes it a confident BUY.
    """
    weights, registry, rng = WeightStore(db, key), ModelRegistry(db), np.random.default_rng(seed)
    for model_type in model_types:
        pattern: dict[str, Any] = {}
        for symbol in symbols:
            name = file_name(model_type, symbol, timeframe)
            arrays = random_arrays(model_type, rng, size)
            if symbol == symbols[0]:
                arrays["skip/bias"] += np.float32(biased)
            document, sha256 = weights._document(name, arrays)
            db[MODEL_WEIGHTS].replace_one({"_id": name}, document, upsert=True)
            spec = spec_of(model_type, symbol, timeframe, end_ms)
            if not pattern:
                pattern = _registered(db, registry, model_type, symbol, timeframe, name, spec, sha256)
                continue
            model_id = f"copy{seed}:{symbol}:{timeframe}:{model_type}"
            model = pattern["model"] | {"_id": model_id, "symbol": symbol, "timeframe": timeframe}
            model |= {
                "weights_sha256": sha256,
                "spec": spec.to_dict(),
                "file": pattern["model"]["file"] | {"name": name},
            }
            db[MODELS].replace_one({"_id": model_id}, model, upsert=True)
            place = champion_id(model_type, symbol, timeframe)
            move = pattern["pointer"]["move"] | {"to_model_id": model_id}
            pointer = pattern["pointer"] | {"_id": place, "model_id": model_id, "move": move}
            db[CHAMPIONS].replace_one({"_id": place}, pointer, upsert=True)


def _registered(
    db: Database[dict[str, Any]], registry: ModelRegistry, model_type: str, symbol: str, timeframe: str, name: str,
    spec: ModelSpec, sha256: str,
) -> dict[str, Any]:  # fmt: skip
    candidate = TrainedCandidate(
        model_type=model_type,
        symbol=symbol,
        timeframe=timeframe,
        file=StoredFile(name, "0" * 64, 1, "0" * 24),
        spec=spec.to_dict(),
        evaluation={"bars": 288, "accuracy": 0.71, "baseline_accuracy": 0.70, "skill": 0.01, "edge": False},
        training={"seed": 7},
        task_id=f"made:{symbol}:{timeframe}:{sha256[:8]}",
        weights_sha256=sha256,
        feature_distribution=DISTRIBUTION,
    )
    model_id = registry.register(candidate).model_id
    before = registry.pointer(model_type, symbol, timeframe)
    registry.promote(model_id, before.model_id if before else None, who="test", why="made for a test")
    pointer = db[CHAMPIONS].find_one({"_id": champion_id(model_type, symbol, timeframe)})
    model = db[MODELS].find_one({"_id": model_id})
    assert pointer is not None
    assert model is not None
    return {"model": model, "pointer": {**pointer, "version": 1, "move": {**pointer["move"], "from_model_id": None}}}


def renamed(candles: Any, symbol: str) -> Any:
    """Return the same candles as another symbol's."""
    return replace(candles, symbol=symbol)
