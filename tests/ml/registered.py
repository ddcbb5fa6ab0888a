"""A small trained network, and the ways to put it, or its opposite, into a real registry."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from pymongo.database import Database

from include.market.candle_store import CandleStore
from include.market.candles import Candles
from include.market.timeframes import DAY_MS
from include.ml.config import TrainingConfig
from include.ml.dataset import build_dataset
from include.ml.deployment import DeployRule
from include.ml.encryption import KEY_BYTES
from include.ml.model_files import ModelFileStore
from include.ml.model_record import ModelRecord, TrainedCandidate
from include.ml.promotion import Promotions
from include.ml.registry import ModelRegistry
from include.ml.spec import ModelSpec
from tests.ml.real_candles import real_candles

KEY = bytes(range(KEY_BYTES))
NOW = datetime(2024, 6, 1, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Network:
    """The file of a trained network, and of one that says the opposite; the spec fits both."""

    good: bytes
    contrary: bytes
    spec: ModelSpec


@lru_cache(maxsize=1)
def network(folder: Path) -> Network:
    """Train a small LSTM on BTCUSDT of February and March 2024."""
    from include.ml.predictor import save_model_bytes
    from include.ml.training import train

    config = TrainingConfig("lstm", epochs=4, size="small", threads=1, learning_rate=3e-3)
    candles = real_candles(folder, "BTCUSDT", "2024-04-01", 60)
    dataset = build_dataset(candles, config, bars=45 * 24)
    model = train(dataset, config).model
    good = save_model_bytes(model)
    for name in ("skip", "trunk", "baseline"):  # the terms that the logit is the sum of
        layer = model.get_layer(name)
        layer.set_weights([-weights for weights in layer.get_weights()])
    return Network(good, save_model_bytes(model), dataset.spec)


class Bench:
    """A database with the real candles up to 2024-06-01, files, registry and promotions on it."""

    def __init__(self, db: Database[dict[str, Any]], folder: Path, cache: Path) -> None:
        self.db = db
        self.network = network(folder)
        self.candles: Candles = real_candles(folder, "BTCUSDT", "2024-06-01", 120)
        self.candle_store = CandleStore(db)
        self.candle_store.upsert(self.candles)
        self.files = ModelFileStore(db, KEY, cache)
        self.registry = ModelRegistry(db)
        self.promotions = Promotions(
            self.registry, self.files, self.candle_store, DeployRule(), min_comparison_bars=150, now=lambda: NOW
        )

    def spec(self, *, trained_until_days_ago: float, holdout_days: float, ended_days_ago: float = 0) -> ModelSpec:
        """Return the spec of a model that was trained until then and whose data ended then; 8 bars of gap."""
        end = NOW_MS - round(ended_days_ago * DAY_MS)
        training_end = NOW_MS - round(trained_until_days_ago * DAY_MS)
        split = end - round(holdout_days * DAY_MS)
        return replace(self.network.spec, training_end_ms=training_end, split_ms=split, data_end_ms=end)

    def register(
        self, task_id: str, spec: ModelSpec, *, contrary: bool = False, accuracy: float = 0.70, skill: float = 0.0
    ) -> ModelRecord:
        """Store and register the network under a spec and with the hold-out numbers given."""
        data = self.network.contrary if contrary else self.network.good
        stored = self.files.save_model("lstm", "BTCUSDT", "1h", data, NOW)
        evaluation = {
            "bars": 288, "accuracy": accuracy, "baseline_accuracy": accuracy - skill, "skill": skill,
            "skill_low": skill - 0.05, "skill_high": skill + 0.05, "edge": False, "quantile_coverage_pct": {"1": 80.0},
        }  # fmt: skip
        candidate = TrainedCandidate("lstm", "BTCUSDT", "1h", stored, spec.to_dict(), evaluation, {"seed": 7}, task_id)
        return self.registry.get(self.registry.register(candidate, NOW).model_id)

    def champion(self, task_id: str, spec: ModelSpec, **changes: Any) -> ModelRecord:
        """Register a model and make it champion of the empty place."""
        record = self.register(task_id, spec, **changes)
        self.registry.promote(record.id, None, who="test", why="first", now=NOW)
        return self.registry.get(record.id)

    def present(self) -> tuple[str, int] | None:
        """Return who is champion, and the pointer's version."""
        pointer = self.registry.pointer("lstm", "BTCUSDT", "1h")
        return (pointer.model_id, pointer.version) if pointer else None

    def damage(self, record: ModelRecord) -> None:
        """Change one byte of the model's file in GridFS, and drop the good copy on this host."""
        stored = self.db["model_files.files"].find_one({"filename": record.file.name + ".enc"})
        assert stored is not None
        chunk = self.db["model_files.chunks"].find_one({"files_id": stored["_id"]})
        assert chunk is not None
        changed = bytes(chunk["data"][:-1]) + bytes([chunk["data"][-1] ^ 1])
        self.db["model_files.chunks"].update_one({"_id": chunk["_id"]}, {"$set": {"data": changed}})
        self.files.path(record.file.name, record.file.sha256).unlink()
