"""Registered models without a network behind them, for tests of the registry and of what reads it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from include.ml.model_files import StoredFile
from include.ml.model_record import TrainedCandidate

NOW = datetime(2025, 11, 22, 3, 0, tzinfo=UTC)


def stored_file(name: str) -> StoredFile:
    return StoredFile(name, hashlib.sha256(name.encode()).hexdigest(), 1000, "0" * 24)


def candidate(task_id: str, model_type: str = "lstm", **changes: Any) -> TrainedCandidate:
    values: dict[str, Any] = {
        "model_type": model_type,
        "symbol": "BTCUSDT",
        "timeframe": "1h",
        "file": stored_file(f"{model_type}_BTCUSDT_1h_{abs(hash(task_id)) % 10**8:08d}_000000.keras"),
        "spec": {"window": 60, "scaler_mean": [0.1, 0.2]},
        "evaluation": {"accuracy": 0.71, "skill": 0.01},
        "training": {"epochs": 10, "seed": 7},
        "task_id": task_id,
        "try_number": 1,
    }
    return TrainedCandidate(**{**values, **changes})
