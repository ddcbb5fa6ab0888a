"""Using a trained network: to bytes and back, forecasts, and the score on any range of bars."""

from __future__ import annotations

import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from include.errors import BadInputError, IntegrityError
from include.market.candles import Candles, check_candles
from include.ml.evaluation import Evaluation, coverage_pct, evaluate
from include.ml.features import compute_features, trailing_volatility
from include.ml.forward_pass import outputs_at
from include.ml.labels import labels, scaled_returns, trend_baseline
from include.ml.spec import ModelSpec

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, eq=False)
class Predictions:
    """Forecasts made at the close of the bars `open_time` `(n,)`, in milliseconds, oldest first.

    `probability_up` `(n,)` is the probability that the label is 1. `log_return_quantiles` `(n, 8, 3)` are the
    10, 50 and 90 % quantiles of `ln(close[t + h] / close[t])` at the spec's horizons.
    """

    open_time: NDArray[np.int64]
    probability_up: NDArray[np.float64]
    log_return_quantiles: NDArray[np.float64]


def save_model_bytes(model: keras.Model) -> bytes:
    """Return the network in Keras's own format (`.keras`), without optimiser state."""
    with tempfile.TemporaryDirectory(prefix="trading-ops-") as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        return path.read_bytes()


def load_model_bytes(data: bytes) -> keras.Model:
    """Return the network of :func:`save_model_bytes`.

    :raises IntegrityError: when the bytes are no such file, or a damaged one.
    """
    import keras

    import include.ml.layers  # noqa: F401 - registers the layers that the file names

    with tempfile.TemporaryDirectory(prefix="trading-ops-") as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(data)
        try:
            return keras.saving.load_model(path, compile=False)
        except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise IntegrityError(
                f"Model file is corrupt or truncated ({len(data)} bytes: {error}); restore it or train the model again"
            ) from error


def predict(
    model: keras.Model, spec: ModelSpec, candles: Candles, start_ms: int | None = None, end_ms: int | None = None
) -> Predictions:
    """Forecast at the close of every bar with `start_ms <= open_time < end_ms` (either may be left open).

    Bars with fewer than `spec.history_bars` candles up to them are left out; more history changes a forecast
    by less than 0.001.

    :raises BadInputError: for corrupt candles, candles of another symbol or timeframe, or when no bar is left.
    :raises IntegrityError: when the model was trained with other features than this code computes, reads other windows
        than its description says, or forecasts values that are not numbers.
    """
    check_candles(candles)
    if (candles.symbol, candles.timeframe) != (spec.symbol, spec.timeframe):
        raise BadInputError(
            f"The model is one of {spec.symbol} {spec.timeframe}, the candles are {candles.symbol} {candles.timeframe}"
        )
    rows = _rows(spec, candles, start_ms, end_ms)
    if not len(rows):
        raise BadInputError(
            f"Insufficient data: a forecast needs {spec.history_bars} candles up to its bar, found {len(candles)} of "
            f"{spec.symbol} {spec.timeframe}; ingest older candles"
        )
    probability, quantiles = _forward(model, spec, candles, rows)
    unit = trailing_volatility(candles.close)[rows][:, None] * np.sqrt(spec.quantile_horizons)
    return Predictions(candles.open_time[rows], probability, quantiles * unit[:, :, None])


def score(
    model: keras.Model, spec: ModelSpec, candles: Candles, start_ms: int | None = None, end_ms: int | None = None
) -> Evaluation:
    """Judge the model on the bars with a known label and `start_ms <= open_time < end_ms`.

    Two models scored with the same candles and limits are judged on the same bars. The candles after `end_ms` are
    read only for the labels.

    :raises BadInputError: when no such bar exists, and as :func:`predict`.
    """
    label = labels(candles.close, spec.target, spec.label_horizon)
    judged = candles.open_time[np.isfinite(label)]
    last = int(judged[-1]) + 1 if len(judged) else 0
    forecast = predict(model, spec, candles, start_ms, last if end_ms is None else min(end_ms, last))
    rows = np.searchsorted(candles.open_time, forecast.open_time)
    volatility = trailing_volatility(candles.close)
    unit = volatility[rows][:, None] * np.sqrt(spec.quantile_horizons)
    actual = scaled_returns(candles.close, volatility, spec.quantile_horizons)[rows] * unit
    quantiles = forecast.log_return_quantiles
    baseline = trend_baseline(candles.close)[rows] if spec.target == "trend" else None
    coverage = coverage_pct(quantiles[:, :, 0], quantiles[:, :, -1], actual, spec.quantile_horizons)
    return evaluate(forecast.probability_up, label[rows], baseline, coverage)


def _rows(spec: ModelSpec, candles: Candles, start_ms: int | None, end_ms: int | None) -> NDArray[np.int64]:
    first = 0 if start_ms is None else int(np.searchsorted(candles.open_time, start_ms))
    last = len(candles) if end_ms is None else int(np.searchsorted(candles.open_time, end_ms))
    return np.arange(max(first, spec.history_bars - 1), last)


def _forward(
    model: keras.Model, spec: ModelSpec, candles: Candles, rows: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first = int(rows[0]) - spec.history_bars + 1
    used = candles.tail(len(candles) - first)
    names, features = compute_features(used)
    if names != spec.feature_names:
        raise IntegrityError(
            f"The model was trained with other features ({', '.join(spec.feature_names)}) than this code computes "
            f"({', '.join(names)}); train it again"
        )
    if model.input_shape[1:] != (spec.window, len(names)):
        raise IntegrityError(
            f"The {spec.model_type} model of {spec.symbol} reads windows of {model.input_shape[1:]}, its description "
            f"says {(spec.window, len(names))} (bars, features); train it again"
        )
    scaled = spec.scale(features)
    output = outputs_at(model, scaled, rows - first)
    probability, quantiles = (output[name].astype(np.float64) for name in ("probability", "quantiles"))
    if not (np.isfinite(probability).all() and np.isfinite(quantiles).all()):
        raise IntegrityError(
            f"The {spec.model_type} model of {spec.symbol} forecasts values that are not numbers; train it again"
        )
    return probability[:, 0], quantiles
