"""The last step of a training: the band gets the width that bars which the weights did not learn from asked for.

Quantiles are right about the bars they were fitted to and usually too narrow or too wide for the next ones, as a market
changes. The inner slice is the newest that a training may look at, so it says how wide the band has to be now. Only
the bias of the quantile head moves: neither the forecast of the direction nor the median changes.

Source of the idea: Romano, Patterson and Candès, Conformalized Quantile Regression, 2019.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from include.ml.forward_pass import outputs_at
from include.ml.labels import QUANTILE_HORIZONS
from include.ml.quantile_prior import BAND_SHARE, NORMAL_WORTH

if TYPE_CHECKING:
    import keras

    from include.ml.dataset import Dataset

FloatArray = NDArray[np.float64]

MOST_SHIFT = 1.0
"""Limit of the change, in the raw units under the softplus: a half-width of 1.28 stays between 0.67 and 2.09."""


def calibrate_band(model: keras.Model, dataset: Dataset) -> FloatArray:
    """Widen or narrow the model's band in place to fit the inner slice; return the shift per horizon, `(H,)`.

    A slice holds little evidence about long horizons (`n / h` independent returns), where the shift shrinks towards
    none. Measured with GRU on 4 symbols, trained on 2022, pinball loss over 2023 against the empirical band, mean over
    the horizons: 0.9834 instead of 0.9865 after 365 days of data, 0.9801 instead of 0.9811 after 60; the coverage at 1
    and 8 hours came from 82.0 and 83.6 % to 79.2 and 81.5 %.
    """
    rows = dataset.inner
    quantiles = outputs_at(model, dataset.features, rows)["quantiles"].astype(np.float64)
    shift = band_shift(quantiles, dataset.quantile_target[rows], dataset.quantile_mask[rows] > 0)
    bias = model.get_layer("quantiles").dense.bias
    moved = np.concatenate([np.zeros_like(shift), shift, shift])  # medians, widths below, widths above
    bias.assign(np.asarray(bias.value.numpy() + moved, np.float32))
    return shift


def band_shift(quantiles: FloatArray, target: NDArray[np.float32], known: NDArray[np.bool_]) -> FloatArray:
    """Return what to add to both raw half-widths of each horizon, `(H,)`, for a band that held 80 % of `target`.

    :param quantiles: `(n, H, 3)` as forecast; `target` and `known` `(n, H)`.
    """
    median = quantiles[:, :, 1]
    above = target > median
    width = np.where(above, quantiles[:, :, 2] - median, median - quantiles[:, :, 0])
    needed = _softplus_inverse(np.abs(target - median)) - _softplus_inverse(width)
    shift = np.zeros(quantiles.shape[1])
    for column, horizon in enumerate(QUANTILE_HORIZONS):
        each = needed[known[:, column], column]
        if len(each):
            evidence = len(each) / horizon
            shift[column] = np.quantile(each, BAND_SHARE) * evidence / (evidence + NORMAL_WORTH)
    return np.clip(shift, -MOST_SHIFT, MOST_SHIFT)


def _softplus_inverse(value: FloatArray) -> FloatArray:
    value = np.maximum(value, 1e-6)
    return value + np.log(-np.expm1(-value))
