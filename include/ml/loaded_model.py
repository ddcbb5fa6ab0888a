"""A registered model, brought back to life from its verified file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.errors import IntegrityError
from include.ml.spec import ModelSpec

if TYPE_CHECKING:
    from include.market.candles import Candles
    from include.ml.evaluation import Evaluation
    from include.ml.model_files import ModelFileStore
    from include.ml.model_record import ModelRecord


@dataclass(frozen=True)
class LoadedModel:
    """A network with the description that its inputs are made by."""

    record: ModelRecord
    model: Any
    spec: ModelSpec


def load_model(record: ModelRecord, files: ModelFileStore) -> LoadedModel:
    """Return the network of a registered model.

    :raises IntegrityError: when its file is missing, damaged, encrypted with another key or no Keras model, or
        when its description in the registry is damaged; the message names the model and the remedy.
    """
    from include.ml.predictor import load_model_bytes

    try:
        spec = ModelSpec.from_dict(record.spec)
        model = load_model_bytes(files.load(record.file.name, record.file.sha256))
    except IntegrityError as error:
        raise IntegrityError(f"Model {record.id} cannot be read: {error}") from error
    return LoadedModel(record, model, spec)


def score_model(loaded: LoadedModel, candles: Candles, start_ms: int, end_ms: int) -> Evaluation:
    """Return the model's score on the bars with `start_ms <= open_time < end_ms` whose label is known."""
    from include.ml.predictor import score

    return score(loaded.model, loaded.spec, candles, start_ms=start_ms, end_ms=end_ms)
