"""A database with light champions in it, without a training for each."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pymongo.database import Database

from include.ml.encryption import KEY_BYTES
from include.ml.light.champions import LightChampion, Place, UnreadableChampion, load_champions
from include.ml.light.weight_store import WeightStore
from include.ml.model_files import ModelFileStore, StoredFile
from include.ml.model_names import model_file_name
from include.ml.model_record import ModelRecord, TrainedCandidate
from include.ml.registry import ModelRegistry
from include.ml.spec import ModelSpec
from tests.ml.light.networks import Arrays, Network

KEY = bytes(range(KEY_BYTES))
NOW = datetime(2025, 11, 22, 3, 0, tzinfo=UTC)


class Places:
    """Stores and registers networks as champions, and reads them back."""

    def __init__(self, db: Database[dict[str, Any]], cache: Path) -> None:
        self.db = db
        self.files = ModelFileStore(db, KEY, cache)
        self.weights = WeightStore(db, KEY)
        self.registry = ModelRegistry(db)

    def champion(self, arrays: Arrays, spec: ModelSpec, *, file: StoredFile | None = None, plain: bool = True) -> Place:
        """Make the network champion of its empty place; `plain=False`: as models were before plain weights."""
        name = model_file_name(spec.model_type, spec.symbol, spec.timeframe, NOW)
        stored = file or StoredFile(name, hashlib.sha256(name.encode()).hexdigest(), 1000, "0" * 24)
        sha256 = self.weights.save(stored.name, arrays) if plain else None
        candidate = TrainedCandidate(
            spec.model_type, spec.symbol, spec.timeframe, stored, spec.to_dict(), {"accuracy": 0.7}, {"seed": 7},
            f"run-{spec.symbol}", weights_sha256=sha256, feature_distribution={"version": 1},
        )  # fmt: skip
        model_id = self.registry.register(candidate, NOW).model_id
        self.registry.promote(model_id, None, who="test", why="first", now=NOW)
        return spec.model_type, spec.symbol, spec.timeframe

    def older(self, network: Network, symbol: str = "BTCUSDT") -> Place:
        """Make a network champion that has a Keras file but no plain weights."""
        from include.ml.predictor import save_model_bytes

        spec = replace(network.spec, symbol=symbol)
        data = save_model_bytes(network.model)
        file = self.files.save_model(spec.model_type, symbol, spec.timeframe, data, NOW)
        return self.champion(network.arrays, spec, file=file, plain=False)

    def record(self, place: Place) -> ModelRecord:
        found = self.registry.champion(*place)
        assert found is not None
        return found

    def load(self, *places: Place) -> dict[Place, LightChampion | UnreadableChampion]:
        return load_champions(self.db, self.weights, self.files, places)
