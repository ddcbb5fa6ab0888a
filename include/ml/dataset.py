"""From candles to what a training reads: scaled features, labels, quantile targets, and the parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from include.errors import BadInputError
from include.market.candles import Candles, check_candles
from include.ml.config import TrainingConfig
from include.ml.features import compute_features, trailing_volatility
from include.ml.labels import LABEL_HORIZON, QUANTILE_HORIZONS, QUANTILES, labels, scaled_returns
from include.ml.quantile_prior import quantile_prior
from include.ml.spec import ModelSpec, history_bars
from include.ml.splits import Split, split_samples

Float32Array = NDArray[np.float32]
RowArray = NDArray[np.int32]
Scaler = tuple[Sequence[float], Sequence[float]]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Arrays aligned on rows, one row per candle used, oldest first; R rows, F features, H horizons.

    A sample is the index of the row of its newest bar; its window is that row and the `spec.window - 1`
    before it. `features` `(R, F)` are scaled; `label` `(R,)` is 1 or 0; `quantile_target` `(R, H)` is in multiples
    of `volatility * sqrt(h)`, valid where `quantile_mask` `(R, H)` is 1: where its close lies inside the
    sample's own part. Rows in no part have label and mask 0 and are never read. `quantile_prior` `(H, 3)`, in the
    units of the targets, is read off the fit part alone.
    """

    spec: ModelSpec
    features: Float32Array
    label: Float32Array
    quantile_target: Float32Array
    quantile_mask: Float32Array
    quantile_prior: Float32Array
    fit: RowArray
    inner: RowArray
    holdout: RowArray

    def windows(self, samples: RowArray) -> Float32Array:
        """Return the samples' windows, shape `(len(samples), window, F)`; a copy of that many values."""
        return self.features[samples[:, None] + np.arange(1 - self.spec.window, 1)]


def build_dataset(candles: Candles, config: TrainingConfig, *, bars: int, scaler: Scaler | None = None) -> Dataset:
    """Turn the newest `bars` candles into samples; older ones serve as warm-up.

    A sample needs `history_bars(window)` candles up to its bar (228 for a window of 60); where older candles are
    missing, the first bars of the `bars` become no samples. The newest 8 bars have no label yet and are no
    training samples. Candles beyond `bars` and the warm-up change nothing.

    :param scaler: means and scales to use instead of those of the fit part, `(F,)` each: of the model whose weights
        the training starts from.
    :raises BadInputError: for corrupt candles, or too few of them to fill all three parts; the message names the
        numbers.
    """
    if bars < 1:
        raise BadInputError(f"bars must be at least 1, got {bars}")
    check_candles(candles)
    history = history_bars(config.window)
    used = candles.tail(bars + history - 1)
    rows = np.arange(max(history - 1, len(used) - bars), len(used) - LABEL_HORIZON, dtype=np.int32)
    try:
        split = split_samples(len(rows), config.validation_split, LABEL_HORIZON)
    except BadInputError as error:
        raise BadInputError(
            f"{error} ({candles.symbol} {candles.timeframe}: {len(candles)} candles found; the first {history - 1} "
            f"warm the indicators up, the newest {LABEL_HORIZON} have no label yet)"
        ) from None
    names, features = compute_features(used)
    label = labels(used.close, config.target)
    fit, inner, holdout = (rows[part.start : part.stop] for part in (split.fit, split.inner, split.holdout))
    spec = _describe(used, config, names, features, label, (fit, inner, holdout))
    if scaler is not None:
        spec = replace(spec, scaler_mean=tuple(scaler[0]), scaler_scale=tuple(scaler[1]))
    target, mask = _quantile_targets(used, (fit, inner))
    scaled = spec.scale(features)
    scaled[: fit[0] - config.window + 1] = 0.0  # still warming up, partly NaN; no window reaches so far back
    return Dataset(
        spec=spec,
        features=scaled,
        label=_only(label, rows),
        quantile_target=target,
        quantile_mask=mask,
        quantile_prior=quantile_prior(target[fit].astype(np.float64), mask[fit] > 0).astype(np.float32),
        fit=fit,
        inner=inner,
        holdout=holdout,
    )


def _describe(
    used: Candles,
    config: TrainingConfig,
    names: tuple[str, ...],
    features: Float32Array,
    label: NDArray[np.float64],
    parts: tuple[RowArray, RowArray, RowArray],
) -> ModelSpec:
    fit, inner, holdout = parts
    seen = features[fit[0] - config.window + 1 : fit[-1] + 1].astype(np.float64)
    scale = seen.std(axis=0)
    last_seen = int(inner[-1]) + LABEL_HORIZON
    return ModelSpec(
        model_type=config.model_type,
        symbol=used.symbol,
        timeframe=used.timeframe,
        target=config.target,
        label_horizon=LABEL_HORIZON,
        window=config.window,
        feature_names=names,
        scaler_mean=tuple(float(value) for value in seen.mean(axis=0)),
        scaler_scale=tuple(float(value) for value in np.where(scale > 1e-6, scale, 1.0)),
        quantile_horizons=QUANTILE_HORIZONS,
        quantiles=QUANTILES,
        training_start_ms=int(used.open_time[fit[0] - config.window + 1]),
        training_end_ms=int(used.open_time[last_seen]) + used.bar_ms,
        split_ms=int(used.open_time[holdout[0]]),
        data_end_ms=int(used.open_time[-1]) + used.bar_ms,
        majority_class=int(label[fit].mean() >= 0.5),
        fit_samples=len(fit),
        inner_samples=len(inner),
        holdout_samples=len(holdout),
        candles_sha256=used.sha256(),
    )


def _quantile_targets(used: Candles, parts: tuple[RowArray, ...]) -> tuple[Float32Array, Float32Array]:
    """Return targets and mask, `(R, H)` each; a target whose close lies outside of the sample's part is masked."""
    returns = scaled_returns(used.close, trailing_volatility(used.close))
    mask = np.zeros(returns.shape, np.float32)
    for part in parts:
        mask[part] = part[:, None] + np.asarray(QUANTILE_HORIZONS) <= part[-1]
    # A crash in dead calm would otherwise decide the whole fit.
    target = np.clip(np.where(mask > 0, returns, 0.0), -10.0, 10.0).astype(np.float32)
    return target, mask


def _only(label: NDArray[np.float64], rows: RowArray) -> Float32Array:
    result = np.zeros(len(label), np.float32)
    result[rows] = label[rows]
    return result


__all__ = ["Dataset", "Split", "build_dataset"]
