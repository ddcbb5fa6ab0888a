"""Where a training starts: at the champion's weights (transfer learning) or from scratch, and why.

The champion is started from when it fits (same label, window, features, horizons, size) and when everything that it
has seen lies before the candidate's hold-out; else the hold-out's accuracy would be one on seen bars. Its scaler is
kept: its weights mean something only in those units. See docs/decisions/0007-transfer-learning.md.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from include.errors import BadInputError, IntegrityError
from include.market.timeframes import timeframe_ms
from include.ml.loaded_model import LoadedModel, load_model
from include.ml.training import InitialWeights

if TYPE_CHECKING:
    from include.ml.config import TrainingConfig
    from include.ml.dataset import Dataset, Scaler
    from include.ml.model_files import ModelFileStore
    from include.ml.model_record import ModelRecord
    from include.ml.registry import ModelRegistry
    from include.ml.spec import ModelSpec
    from include.ml.train_request import TrainRequest

logger = logging.getLogger(__name__)

ASKED = "from scratch, as asked for"
NO_CHAMPION = "from scratch: there is no champion of {} yet"


@dataclass(frozen=True, eq=False)
class StartingPoint:
    """What a training starts from. `initial`, `scaler` and `seen_until_ms` are None when from scratch.

    `reason` is one line for people; `seen_until_ms` the end (exclusive) of what the model started from has seen.
    """

    reason: str
    initial: InitialWeights | None = None
    scaler: Scaler | None = None
    seen_until_ms: int | None = None

    @property
    def model_id(self) -> str | None:
        """The model started from, or None."""
        return self.initial.model_id if self.initial else None

    def to_dict(self) -> dict[str, Any]:
        """Return what job, registry and result say of it."""
        return {"started_from": self.model_id, "started_from_reason": self.reason}

    def apply(self, dataset: Dataset) -> Dataset:
        """Return the dataset (already in this start's units) with all that the new model will have seen."""
        if self.seen_until_ms is None:
            return dataset
        spec = dataset.spec
        return replace(dataset, spec=replace(spec, training_end_ms=max(spec.training_end_ms, self.seen_until_ms)))


def choose_start(
    request: TrainRequest,
    spec: ModelSpec,
    registry: ModelRegistry,
    files: ModelFileStore,
    recorded: Mapping[str, Any] | None = None,
) -> StartingPoint:
    """Decide where a training starts.

    :param spec: of the candidate's dataset, scaled from scratch.
    :param recorded: an earlier try's decision (:meth:`StartingPoint.to_dict`) that this one continues; its model is
        used again although another may be champion by now.
    """
    if recorded is not None and recorded["started_from"] is None:
        return StartingPoint(str(recorded["started_from_reason"]))
    if recorded is None and not request.from_champion:
        return StartingPoint(ASKED)
    place = f"{request.model_type} {request.symbol} {request.timeframe}"
    try:
        record = (
            registry.champion(request.model_type, request.symbol, request.timeframe)
            if recorded is None
            else registry.get(str(recorded["started_from"]))
        )
        if record is None:
            return StartingPoint(NO_CHAMPION.format(place))
        loaded = load_model(record, files)
    except (IntegrityError, BadInputError) as error:
        logger.warning("The champion cannot be started from: %s", error)
        return StartingPoint(f"from scratch: the champion of {place} cannot be read ({error})")
    reason = _does_not_fit(loaded, request.config, spec) or _has_seen_the_holdout(loaded.spec, spec)
    if reason:
        return StartingPoint(f"from scratch: champion {record.id} {reason}")
    return StartingPoint(
        f"from the weights of champion {record.id}, with its scaler; "
        f"it has seen nothing after {_iso(loaded.spec.training_end_ms)}",
        InitialWeights(record.id, loaded.model.get_weights()),
        (loaded.spec.scaler_mean, loaded.spec.scaler_scale),
        loaded.spec.training_end_ms,
    )


def _does_not_fit(loaded: LoadedModel, config: TrainingConfig, spec: ModelSpec) -> str | None:
    """Return why the champion's weights do not fit the network to be trained, or None."""
    same = ("target", "window", "label_horizon", "feature_names", "quantile_horizons", "quantiles")
    for name in same:
        theirs, ours = getattr(loaded.spec, name), getattr(spec, name)
        if theirs != ours:
            return f"has another {name} ({_short(theirs)} instead of {_short(ours)})"
    size = _size(loaded.record)
    if size != config.size:
        return f"has another size ({size} instead of {config.size})"
    return _other_layers(loaded, config, spec)


def _other_layers(loaded: LoadedModel, config: TrainingConfig, spec: ModelSpec) -> str | None:
    from include.ml.networks import build_network

    ours, theirs = (
        [(layer.name, [tuple(weight.shape) for weight in layer.weights]) for layer in model.layers]
        for model in (build_network(config, spec), loaded.model)
    )
    return None if ours == theirs else "was built with other layers than this code's network"


def _has_seen_the_holdout(champion: ModelSpec, candidate: ModelSpec) -> str | None:
    """Return why the candidate's hold-out is not unseen by the champion, or None."""
    if _end(champion) <= candidate.split_ms:
        return None
    return (
        f"was trained with candles up to {_iso(champion.training_end_ms)}, and the hold-out from "
        f"{_iso(candidate.split_ms)} on must be unseen, {champion.label_horizon} bars apart"
    )


def _end(champion: ModelSpec) -> int:
    return champion.training_end_ms + champion.label_horizon * timeframe_ms(champion.timeframe)


def _size(record: ModelRecord) -> str | None:
    config = record.training.get("config")
    return config.get("size") if isinstance(config, Mapping) else None


def _short(value: object) -> str:
    return f"{len(value)} of them" if isinstance(value, tuple) else str(value)


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
