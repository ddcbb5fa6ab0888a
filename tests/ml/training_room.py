"""A database with real candles and all that a training needs around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pymongo.database import Database

from include.market.candle_store import CandleStore
from include.market.candles import Candles
from include.ml.config import TrainingConfig
from include.ml.encryption import KEY_BYTES
from include.ml.light.weight_store import WeightStore
from include.ml.model_files import ModelFileStore
from include.ml.registry import ModelRegistry
from include.ml.train_job import TrainRequest, run_training
from tests.ml.real_candles import real_candles

CONFIG = TrainingConfig("lstm", epochs=4, size="small", threads=1, window=16, deterministic=True)
REQUEST = TrainRequest("BTCUSDT", "1h", 30, CONFIG, "manual__2024-06-01T00:00:00+00:00")
CLOCK = datetime(2024, 6, 1, 0, 30, tzinfo=UTC)
FULL_RUN = 5


class Room:
    """One database with candles, and what a training needs around it."""

    def __init__(self, db: Database[dict[str, Any]], folder: Path, tmp_path: Path) -> None:
        self.db, self.folder, self.tmp_path = db, folder, tmp_path
        self.candle_store, self.registry = CandleStore(db), ModelRegistry(db)
        self.files = ModelFileStore(db, bytes(range(KEY_BYTES)), tmp_path / "cache")
        self.weights = WeightStore(db, bytes(range(KEY_BYTES)))
        self.checkpoints = tmp_path / "checkpoints"
        self.progress: list[tuple[int, Mapping[str, Any]]] = []

    def candles(self, until: str = "2024-06-01", days: int = 50) -> Candles:
        return real_candles(self.folder, "BTCUSDT", until, days)

    def train(self, request: TrainRequest = REQUEST, **changes: Any) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "db": self.db, "candle_store": self.candle_store, "files": self.files, "registry": self.registry,
            "weights": self.weights, "checkpoint_dir": self.checkpoints, "now": lambda: CLOCK,
            "on_progress": lambda percent, details: self.progress.append((percent, details)),
        }  # fmt: skip
        return run_training(request, **{**arguments, **changes})

    def job(self, job_id: str = REQUEST.task_id) -> dict[str, Any]:
        document = self.db["training_jobs"].find_one({"_id": job_id})
        assert document is not None
        return document

    def nothing_half_written(self) -> bool:
        counts = [
            self.db[name].count_documents({})
            for name in ("models", "model_files.files", "model_files.chunks", "model_weights")
        ]
        return counts == [0, 0, 0, 0] and not list(self.tmp_path.glob("cache/*"))


def stop_after(epochs: int) -> tuple[Callable[[int, Mapping[str, Any]], None], Callable[[], bool]]:
    """Return a progress callback and a `should_stop` that says yes once so many epochs are over."""
    done = [0]
    return (
        lambda percent, details: done.__setitem__(0, details.get("current_epoch", done[0])),
        lambda: done[0] >= epochs,
    )
