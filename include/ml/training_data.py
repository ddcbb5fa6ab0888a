"""The candles that one training reads, checked, and the samples made of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from include.errors import BadInputError
from include.market.sufficiency import require_enough
from include.market.timeframes import DAY_MS, timeframe_ms
from include.ml.dataset import Dataset, build_dataset
from include.ml.drift import feature_distribution
from include.ml.features import compute_features
from include.ml.spec import history_bars
from include.ml.training_job import PinnedData

if TYPE_CHECKING:
    from include.market.candle_store import CandleStore
    from include.market.candles import Candles
    from include.ml.config import TrainingConfig
    from include.ml.starting_point import StartingPoint
    from include.ml.train_request import TrainRequest


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Candles with the warm-up before them, the samples, and the words that name both in a result.

    `description` has `start`, `end` (ISO, UTC; the end is exclusive), `bars` and `sha256`.
    """

    candles: Candles
    dataset: Dataset
    description: dict[str, Any]

    def started_from(self, start: StartingPoint, config: TrainingConfig) -> TrainingData:
        """Return the same data in the units of the model that the training starts from."""
        if start.scaler is None:
            return self
        bars = int(self.description["bars"])
        return replace(self, dataset=start.apply(build_dataset(self.candles, config, bars=bars, scaler=start.scaler)))

    def feature_distribution(self) -> dict[str, Any]:
        """Return what drift is measured against: the unscaled features of the rows that a scaler is fitted on."""
        names, features = compute_features(self.candles)
        spec, time = self.dataset.spec, self.candles.open_time
        first = int(np.searchsorted(time, spec.training_start_ms))
        return feature_distribution(names, features[first : first + spec.window - 1 + spec.fit_samples])

    @property
    def pin(self) -> PinnedData:
        """What a later try needs to find the same candles again."""
        return PinnedData(self.dataset.spec.data_end_ms, self.dataset.spec.candles_sha256)


def load_training_data(
    candle_store: CandleStore, request: TrainRequest, *, pinned: PinnedData | None, now: datetime
) -> TrainingData:
    """Read the newest `days_of_data` days, or those that an earlier try was working on.

    :param pinned: the earlier try's candles; when they were corrected since, its checkpoint would not fit them
        any more and the newest ones are read.
    :raises BadInputError: for candles that are corrupt, too few or too old.
    """
    data = _read(candle_store, request, pinned.end_ms if pinned else None)
    if pinned and data.pin != pinned:
        data = _read(candle_store, request, None)
    if request.max_candle_age_bars is not None:
        _require_fresh(data.candles, request.max_candle_age_bars, now)
    return data


def require_trainable(candle_store: CandleStore, request: TrainRequest) -> None:
    """Refuse, before any work, candles that a training could not learn from.

    :raises BadInputError: for candles that are corrupt or too few; the message names them.
    """
    _read(candle_store, request, None)


def _read(candle_store: CandleStore, request: TrainRequest, end_ms: int | None) -> TrainingData:
    bar_ms = timeframe_ms(request.timeframe)
    if end_ms is None:
        newest = candle_store.last_open_time(request.symbol, request.timeframe)
        end_ms = 0 if newest is None else newest + bar_ms
    first_ms = end_ms - request.days_of_data * DAY_MS
    warmup_ms = 2 * history_bars(request.config.window) * bar_ms  # twice: gaps cost candles
    candles = candle_store.load(request.symbol, request.timeframe, first_ms - warmup_ms, end_ms)
    require_enough(candles, request.days_of_data)
    asked = candles.between(first_ms, end_ms)
    dataset = build_dataset(candles, request.config, bars=len(asked))
    description = {
        "start": _iso(int(asked.open_time[0])),
        "end": _iso(end_ms),
        "bars": len(asked),
        "sha256": dataset.spec.candles_sha256,
    }
    return TrainingData(candles, dataset, description)


def _require_fresh(candles: Candles, max_age_bars: int, now: datetime) -> None:
    newest_end_ms = int(candles.open_time[-1]) + candles.bar_ms
    age = now - datetime.fromtimestamp(newest_end_ms / 1000, UTC)
    if age > timedelta(milliseconds=max_age_bars * candles.bar_ms):
        raise BadInputError(
            f"Stale data: the newest {candles.symbol} {candles.timeframe} candle closed at {_iso(newest_end_ms)}, "
            f"more than {max_age_bars} bars ago; run ingest_candles"
        )


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
