"""Champions made by hand from plain weights, in a real registry: no TensorFlow, no training, known forecasts."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pymongo
from bson.codec_options import CodecOptions
from numpy.typing import NDArray
from pymongo.database import Database

from include.market.candle_store import CandleStore
from include.market.candles import Candles
from include.market.timeframes import DAY_MS
from include.ml.deployment import DeployRule
from include.ml.drift import feature_distribution
from include.ml.encryption import KEY_BYTES
from include.ml.features import WARMUP_BARS, compute_features
from include.ml.labels import QUANTILE_HORIZONS, QUANTILES
from include.ml.light.layout import GATES
from include.ml.light.weight_store import WeightStore
from include.ml.model_files import ModelFileStore
from include.ml.model_record import ModelRecord, TrainedCandidate
from include.ml.promotion import Promotions
from include.ml.registry import ModelRegistry
from include.ml.spec import ModelSpec
from include.store.collections import ensure_indexes
from sandbox.mongod import Mongod
from tests.ml.real_candles import at_ms, real_candles

KEY = bytes(range(KEY_BYTES))
UNTIL = "2024-06-01"
NOW_MS = at_ms(UNTIL)
NOW = datetime.fromtimestamp(NOW_MS / 1000, UTC)
SOFTPLUS_OF_ONE = float(np.log(np.expm1(1.0)))


def plain_weights(
    features: int, *, model_type: str = "lstm", up: float = 0.0, median: float = 0.1, units: int = 4
) -> dict[str, NDArray[Any]]:
    """Return the weights of a network that says the same of every window: its logit, and quantiles median -+ 1."""
    horizons = len(QUANTILE_HORIZONS)
    columns = GATES[model_type] * units
    zeros = {
        f"{model_type}_1/kernel": (features, columns), f"{model_type}_1/recurrent_kernel": (units, columns),
        f"{model_type}_1/bias": (columns,) if model_type == "lstm" else (2, columns),
        "skip/kernel": (features, 1), "skip/bias": (1,), "trunk/kernel": (units, 1),
        "baseline/kernel": (features, 1), "baseline/bias": (1,),
        "quantiles/kernel": (units, 3 * horizons), "quantiles/bias": (3 * horizons,),
    }  # fmt: skip
    arrays: dict[str, NDArray[Any]] = {name: np.zeros(shape, np.float32) for name, shape in zeros.items()}
    arrays["skip/bias"][:] = up
    arrays["quantiles/bias"][:] = np.repeat([median, SOFTPLUS_OF_ONE, SOFTPLUS_OF_ONE], horizons)
    return arrays


def deploy(
    registry: ModelRegistry,
    files: ModelFileStore,
    weights: WeightStore,
    spec: ModelSpec,
    arrays: Mapping[str, NDArray[Any]],
    *,
    task_id: str,
    content: bytes = b"no Keras file: only its hash is read",
    skill: float = 0.01,
    distribution: Mapping[str, Any] | None = None,
) -> ModelRecord:
    """Store and register a model, and make it champion in the place of the present one."""
    now = datetime.fromtimestamp(spec.data_end_ms / 1000, UTC)
    stored = files.save_model(spec.model_type, spec.symbol, spec.timeframe, content, now)
    evaluation = {
        "bars": 288, "accuracy": 0.70 + skill, "baseline_accuracy": 0.70, "skill": skill, "skill_low": skill - 0.05,
        "skill_high": skill + 0.05, "edge": False, "quantile_coverage_pct": {"1": 80.0, "24": 78.5},
    }  # fmt: skip
    candidate = TrainedCandidate(
        model_type=spec.model_type,
        symbol=spec.symbol,
        timeframe=spec.timeframe,
        file=stored,
        spec=spec.to_dict(),
        evaluation=evaluation,
        training={"seed": 7},
        task_id=task_id,
        weights_sha256=weights.save(stored.name, arrays),
        feature_distribution=distribution,
    )
    record = registry.get(registry.register(candidate, now).model_id)
    before = registry.pointer(spec.model_type, spec.symbol, spec.timeframe)
    registry.promote(record.id, before.model_id if before else None, who="test", why="better", now=now)
    return record


def damage_weights(db: Database[dict[str, Any]], record: ModelRecord) -> None:
    """Change one byte of the model's plain weights in the database."""
    stored = db["model_weights"].find_one({"_id": record.file.name})
    assert stored is not None
    blob = stored["blob"][:-1] + bytes([stored["blob"][-1] ^ 1])
    db["model_weights"].update_one({"_id": record.file.name}, {"$set": {"blob": blob}})


@contextmanager
def shared_database(mongod: Mongod) -> Iterator[Database[dict[str, Any]]]:
    """One database for the tests of a module: to make the indexes takes longer than most of these tests."""
    with pymongo.MongoClient[dict[str, Any]](mongod.uri, serverSelectionTimeoutMS=5000) as client:
        name = f"test_{uuid.uuid4().hex[:12]}"
        database = client.get_database(name, codec_options=CodecOptions(tz_aware=True))
        ensure_indexes(database)
        yield database
        client.drop_database(name)


class PlainBench:
    """A database, emptied first, with the stores of models on it; and BTCUSDT's candles up to 2024-06-01."""

    def __init__(self, db: Database[dict[str, Any]], folder: Path, cache: Path) -> None:
        for name in db.list_collection_names():
            db[name].delete_many({})
        self.db = db
        self.candles: Candles = real_candles(folder, "BTCUSDT", UNTIL, 60)
        self.candle_store = CandleStore(db)
        self.files, self.weights, self.registry = (
            ModelFileStore(db, KEY, cache),
            WeightStore(db, KEY),
            ModelRegistry(db),
        )
        self.promotions = Promotions(
            self.registry, self.files, self.candle_store, DeployRule(), 150, now=lambda: NOW, weights=self.weights
        )
        self.names, features = compute_features(self.candles)
        self.distribution = feature_distribution(self.names, features[WARMUP_BARS : -8 * 24])

    def spec(self, model_type: str = "lstm", *, days_old: float = 1.0) -> ModelSpec:
        """Return the description of a model whose newest candle closed so long ago."""
        end = NOW_MS - round(days_old * DAY_MS)
        count = len(self.names)
        return ModelSpec(
            model_type, "BTCUSDT", "1h", "trend", 8, 60, self.names, (0.0,) * count, (1.0,) * count, QUANTILE_HORIZONS,
            QUANTILES, end - 50 * DAY_MS, end - 8 * DAY_MS, end - 7 * DAY_MS, end, 1, 900, 200, 200, "0" * 64,
        )  # fmt: skip

    def champion(
        self, task_id: str, *, model_type: str = "lstm", days_old: float = 1.0, skill: float = 0.01, median: float = 0.1
    ) -> ModelRecord:
        """Register a model and make it champion in the place of the present one."""
        return deploy(
            self.registry,
            self.files,
            self.weights,
            self.spec(model_type, days_old=days_old),
            plain_weights(len(self.names), model_type=model_type, median=median),
            task_id=task_id,
            skill=skill,
            distribution=self.distribution,
        )

    @property
    def present(self) -> str | None:
        """The LSTM champion's model."""
        pointer = self.registry.pointer("lstm", "BTCUSDT", "1h")
        return pointer.model_id if pointer else None
