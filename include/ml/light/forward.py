"""The forward pass of many networks at once, without TensorFlow: weights stacked, one `matmul` per time step.

The result is that of `model(window, training=False)` to 1e-5 (`agreement.py` makes sure of it at every training).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from include.errors import BadInputError
from include.ml.light.bodies import sigmoid, trunk
from include.ml.light.layout import QUANTILES_PER_HORIZON, Arrays, check_layout, signature

__all__ = ["Arrays", "Outputs", "forward"]

Float32Array = NDArray[np.float32]

STACKED = 32
"""Networks per stack."""


@dataclass(frozen=True, eq=False)
class Outputs:
    """What W networks say of their windows, float32.

    `probability_up` `(W,)` is the probability that the label is 1; `quantiles` `(W, horizons, 3)` are the 10, 50 and
    90 % quantiles in multiples of `volatility * sqrt(h)`.
    """

    probability_up: Float32Array
    quantiles: Float32Array


def forward(model_type: str, arrays: Sequence[Arrays], windows: Float32Array) -> Outputs:
    """Return the outputs of W networks of one type and of equal shapes, each on its own window.

    A network with a weight that is no finite number answers NaN, and so does one whose window holds NaN; its
    neighbours answer as without it.

    :param arrays: the weights of each network (`include.ml.light.export`), or of one that reads all windows.
    :param windows: `(W, window, F)`, scaled by each network's spec.
    :raises IntegrityError: for arrays that are not the weights of such a network.
    :raises BadInputError: when the numbers of networks, windows and features do not fit, or the shapes differ.
    """
    windows = np.asarray(windows, np.float32)
    _check(model_type, arrays, windows)
    if len(arrays) == 1:
        parts = [_outputs(model_type, _stack(arrays), part) for part in _parts(windows)]
    else:
        parts = [
            _outputs(model_type, _stack(arrays[at : at + STACKED]), windows[at : at + STACKED])
            for at in range(0, len(arrays), STACKED)
        ]
    return Outputs(
        np.concatenate([part.probability_up for part in parts]), np.concatenate([part.quantiles for part in parts])
    )


def _check(model_type: str, arrays: Sequence[Arrays], windows: Float32Array) -> None:
    if not len(arrays):
        raise BadInputError("No network to ask: give the weights of at least one")
    if windows.ndim != 3 or not len(windows) or len(arrays) not in (1, len(windows)):
        raise BadInputError(
            f"{len(arrays)} network(s) need as many windows of shape (window, features), got shape {windows.shape}"
        )
    check_layout(model_type, arrays[0])
    first = signature(arrays[0])
    if any(signature(other) != first for other in arrays[1:]):
        raise BadInputError(f"{len(arrays)} {model_type} networks of different shapes cannot be stacked: group them")
    features = arrays[0]["skip/kernel"].shape[0]
    if windows.shape[2] != features:
        raise BadInputError(f"The networks read {features} features, the windows hold {windows.shape[2]}")


def _parts(windows: Float32Array) -> list[Float32Array]:
    return [windows[at : at + STACKED] for at in range(0, len(windows), STACKED)]


def _stack(arrays: Sequence[Arrays]) -> dict[str, Float32Array]:
    return {name: np.stack([weights[name] for weights in arrays]) for name in arrays[0]}


def _outputs(model_type: str, weights: dict[str, Float32Array], windows: Float32Array) -> Outputs:
    # Weights may be anything, the answer then is NaN or infinite: judged by its reader, no reason to warn.
    with np.errstate(all="ignore"):
        found = trunk(model_type, weights, windows)[:, None]
        newest = windows[:, -1:]
        logit = newest @ weights["skip/kernel"] + weights["skip/bias"][:, None] + found @ weights["trunk/kernel"]
        if "baseline/kernel" in weights:
            logit = newest @ weights["baseline/kernel"] + weights["baseline/bias"][:, None] + logit
        probability = sigmoid(logit)[:, 0, 0]
        quantiles = _quantiles((found @ weights["quantiles/kernel"])[:, 0] + weights["quantiles/bias"])
    # An infinite weight can hide behind a saturated gate; the network is broken all the same.
    broken = ~np.logical_and.reduce(
        [np.isfinite(array).reshape(len(array), -1).all(axis=1) for array in weights.values()]
    )
    probability[np.broadcast_to(broken, probability.shape)] = np.nan
    quantiles[np.broadcast_to(broken, probability.shape)] = np.nan
    return Outputs(probability, quantiles)


def _quantiles(raw: Float32Array) -> Float32Array:
    """Return the head's three quantiles per horizon, as `include.ml.layers.QuantileHead` does."""
    median, below, above = np.split(raw, QUANTILES_PER_HORIZON, axis=1)
    zero = np.float32(0.0)
    return np.stack([median - np.logaddexp(zero, below), median, median + np.logaddexp(zero, above)], axis=-1)
