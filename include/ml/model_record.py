"""What the registry knows about one model, and the names of its states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from include.ml.model_files import StoredFile

State = Literal["candidate", "champion", "archived"]
CANDIDATE: State = "candidate"
CHAMPION: State = "champion"
ARCHIVED: State = "archived"


def champion_id(model_type: str, symbol: str, timeframe: str) -> str:
    """Return the name of the place that one champion holds, for instance `lstm:BTCUSDT:1h`."""
    return f"{model_type}:{symbol}:{timeframe}"


@dataclass(frozen=True)
class TrainedCandidate:
    """A trained, stored model that asks to be registered.

    `spec` is `ModelSpec.to_dict()` (scaler and feature list travel in it), `evaluation` the hold-out's
    `Evaluation.to_dict()`, `training` says how the model was made: configuration, epochs, seed, data range
    and hash, library versions. All three are JSON-able. `weights_sha256` is the hash of the encrypted plain arrays
    in `model_weights` (see `include.ml.light`), `feature_distribution` what drift is measured against
    (`include.ml.drift`).
    """

    model_type: str
    symbol: str
    timeframe: str
    file: StoredFile
    spec: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    training: Mapping[str, Any]
    task_id: str
    try_number: int = 1
    weights_sha256: str | None = None
    feature_distribution: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class ModelRecord:
    """A registered model as it stood when it was read; `weights_sha256` and `feature_distribution` may be None for
    models trained before these existed.
    """

    id: str
    model_type: str
    symbol: str
    timeframe: str
    state: State
    file: StoredFile
    spec: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    training: Mapping[str, Any]
    task_id: str
    created_at: datetime
    weights_sha256: str | None = None
    feature_distribution: Mapping[str, Any] | None = None

    @property
    def champion_id(self) -> str:
        """The place that this model may hold."""
        return champion_id(self.model_type, self.symbol, self.timeframe)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> ModelRecord:
        """Return the record of a document of the collection `models`."""
        return cls(
            id=document["_id"],
            model_type=document["model_type"],
            symbol=document["symbol"],
            timeframe=document["timeframe"],
            state=document["state"],
            file=StoredFile.from_dict(document["file"]),
            spec=document["spec"],
            evaluation=document["evaluation"],
            training=document["training"],
            task_id=document["task_id"],
            created_at=document["created_at"],
            weights_sha256=document.get("weights_sha256"),
            feature_distribution=document.get("feature_distribution"),
        )
