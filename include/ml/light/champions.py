"""The champions of many places with their plain weights, ready to forecast: three queries however many places.

A model that was trained before plain weights were kept is read once through Keras; its weights are stored and its
record is completed, so that the next process needs no TensorFlow.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from include.errors import IntegrityError
from include.ml.encryption import is_other_key
from include.ml.light.layout import QUANTILES_PER_HORIZON, Arrays, check_layout
from include.ml.loaded_model import load_model
from include.ml.model_record import CHAMPION, ModelRecord, champion_id
from include.ml.registry import ModelRegistry
from include.ml.spec import ModelSpec
from include.store.collections import CHAMPIONS, MODELS
from include.store.outage import mongo_outage

if TYPE_CHECKING:
    from pymongo.database import Database

    from include.ml.light.weight_store import WeightStore
    from include.ml.model_files import ModelFileStore

logger = logging.getLogger(__name__)

Place = tuple[str, str, str]
"""Model type, symbol, timeframe: what one champion holds."""

_NOT_NEEDED = {"states": 0, "training": 0}
"""Fields of a model's document that grow and that no forecast reads."""
_CHECKED_WINDOWS = 16


@dataclass(frozen=True, eq=False)
class LightChampion:
    """A champion with its weights. `version` is that of its place's pointer.

    The record's `training` is empty: it is not fetched.
    """

    record: ModelRecord
    spec: ModelSpec
    arrays: Arrays
    version: int


@dataclass(frozen=True)
class UnreadableChampion:
    """A champion that cannot be used, and why, with the remedy. `record` is None where the registry has none.

    `champion_at_fault` is False when it was stored with another key than the one that is configured: then no other
    model of that time opens either, and a rollback would help nobody.
    """

    record: ModelRecord | None
    model_id: str
    reason: str
    champion_at_fault: bool = True


def load_champions(
    db: Database[dict[str, Any]], weights: WeightStore, files: ModelFileStore, places: Collection[Place]
) -> dict[Place, LightChampion | UnreadableChampion]:
    """Return the champion of every place that has one.

    :raises ServiceUnavailableError: while MongoDB is away.
    """
    pointers, documents = _read(db, places)
    result: dict[Place, LightChampion | UnreadableChampion] = {}
    records: dict[Place, ModelRecord] = {}
    for place in places:
        pointer = pointers.get(champion_id(*place))
        if pointer is None:
            continue
        found = _record(pointer["model_id"], documents.get(pointer["model_id"]), champion_id(*place))
        if isinstance(found, UnreadableChampion):
            result[place] = found
        else:
            records[place] = found
    loaded = weights.load_many(
        {record.file.name: record.weights_sha256 for record in records.values() if record.weights_sha256}
    )
    for place, record in records.items():
        try:
            arrays = loaded[record.file.name] if record.weights_sha256 else _complete(db, record, weights, files)
            if isinstance(arrays, IntegrityError):
                raise arrays
            spec = _fitting_spec(record, arrays)
            version = int(pointers[record.champion_id]["version"])
            result[place] = LightChampion(record, spec, arrays, version)
        except IntegrityError as error:
            result[place] = UnreadableChampion(
                record, record.id, f"Model {record.id} cannot be read: {error}", not is_other_key(error)
            )
    return result


@mongo_outage("reading the champions")
def _read(
    db: Database[dict[str, Any]], places: Collection[Place]
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Return the pointers by place, and the models' documents by id."""
    wanted = {"_id": {"$in": [champion_id(*place) for place in places]}}
    pointers = {row["_id"]: row for row in db[CHAMPIONS].find(wanted, {"model_id": 1, "version": 1})}
    ids = [pointer["model_id"] for pointer in pointers.values()]
    return pointers, {row["_id"]: row for row in db[MODELS].find({"_id": {"$in": ids}}, _NOT_NEEDED)}


def _record(model_id: str, document: Mapping[str, Any] | None, place: str) -> ModelRecord | UnreadableChampion:
    if document is None:
        reason = (
            f"The champion of {place} is {model_id}, which is not in the registry; restore the collection {MODELS} "
            "from a backup or roll back"
        )
        return UnreadableChampion(None, model_id, reason)
    try:
        record = ModelRecord.from_document({**document, "state": CHAMPION, "training": {}})
    except (KeyError, TypeError, ValueError) as error:
        reason = (
            f"The record of model {model_id}, champion of {place}, is damaged ({type(error).__name__}: {error}); "
            f"restore the collection {MODELS} from a backup or roll back"
        )
        return UnreadableChampion(None, model_id, reason)
    if record.champion_id != place:
        reason = f"The champion of {place} is {model_id}, a model of {record.champion_id}; roll back or train again"
        return UnreadableChampion(record, model_id, reason)
    return record


def _complete(db: Database[dict[str, Any]], record: ModelRecord, weights: WeightStore, files: ModelFileStore) -> Arrays:
    """Take the weights of an older model out of its Keras file, and keep them."""
    from include.ml.light.agreement import require_light_agreement
    from include.ml.light.export import export_arrays

    logger.info("Model %s has no plain weights yet: reading it through Keras once", record.id)
    loaded = load_model(record, files)
    arrays = export_arrays(loaded.model)
    spec = _fitting_spec(record, arrays)
    shape = (_CHECKED_WINDOWS, spec.window, len(spec.feature_names))
    windows = np.clip(2.0 * np.random.default_rng(0).standard_normal(shape), -6.0, 6.0).astype(np.float32)
    require_light_agreement(loaded.model, record.model_type, arrays, windows)
    sha256 = weights.save_once(record.file.name, arrays)
    ModelRegistry(db).complete_weights(record.id, record.file, sha256)
    return arrays


def _fitting_spec(record: ModelRecord, arrays: Arrays) -> ModelSpec:
    """Return the model's description after making sure that it speaks of the same network as record and weights.

    :raises IntegrityError: naming what does not fit.
    """
    check_layout(record.model_type, arrays)
    try:
        spec = ModelSpec.from_dict(record.spec)
        differing = _differences(record, spec, arrays)
    except TypeError as error:
        raise IntegrityError(
            f"its description is damaged ({error}); restore the collection {MODELS} from a backup or roll back"
        ) from error
    if differing:
        raise IntegrityError(
            f"its description does not fit its record or its weights: other {', '.join(differing)}; roll back to an "
            "archived model or train it again"
        )
    return spec


def _differences(record: ModelRecord, spec: ModelSpec, arrays: Arrays) -> list[str]:
    sizes = {len(spec.feature_names), len(spec.scaler_mean), len(spec.scaler_scale), arrays["skip/kernel"].shape[0]}
    outputs = QUANTILES_PER_HORIZON * len(spec.quantile_horizons)
    differs = {
        "model type, symbol or timeframe": (spec.model_type, spec.symbol, spec.timeframe)
        != (record.model_type, record.symbol, record.timeframe),
        "number of features": len(sizes) > 1,
        "number of horizons": arrays["quantiles/bias"].shape[0] != outputs,
        "target": ("baseline/kernel" in arrays) != (spec.target == "trend"),
        "window": not (isinstance(spec.window, int) and spec.window > 0),
    }
    return [what for what, is_so in differs.items() if is_so]
