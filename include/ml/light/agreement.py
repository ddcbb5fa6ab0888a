"""Makes sure that the light forward pass and Keras say the same before a network's plain weights are used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from include.errors import IntegrityError
from include.ml.forward_pass import outputs_for
from include.ml.light.forward import Arrays, forward

if TYPE_CHECKING:
    import keras

TOLERANCE = 1e-5
"""Of the probability, and of the quantiles in multiples of `volatility * sqrt(h)`; relative where these exceed 1."""


def require_light_agreement(model: keras.Model, model_type: str, arrays: Arrays, windows: NDArray[np.float32]) -> None:
    """Compare both paths' outputs on the same windows, `(n, window, F)`, scaled.

    :param arrays: the network's weights (`include.ml.light.export`).
    :raises IntegrityError: when they differ by more than 1e-5, or are no numbers; nothing must use the arrays then.
    :raises BadInputError: for windows that do not fit, or none.
    """
    light = forward(model_type, [arrays], windows)
    heavy = outputs_for(model, windows)
    pairs = {
        "probability": (light.probability_up, heavy["probability"][:, 0]),
        "quantiles": (light.quantiles, heavy["quantiles"]),
    }
    for name, (ours, keras_s) in pairs.items():
        same_shape = ours.shape == keras_s.shape
        difference = float(np.max(np.abs(ours - keras_s) / np.maximum(1.0, np.abs(keras_s)))) if same_shape else np.inf
        if not difference <= TOLERANCE:
            raise IntegrityError(
                f"The light forward pass does not give the {name} of Keras for this {model_type} network: they differ "
                f"by {difference:.2g} on {len(windows)} windows, allowed is {TOLERANCE:g}; it was not registered, "
                "train again, and look at include/ml/light if it happens again"
            )
