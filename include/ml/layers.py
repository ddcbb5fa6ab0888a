"""The two layers that Keras does not have. Importing this module loads TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from include.ml.labels import NORMAL_QUANTILES

_PACKAGE = "trading_ops"


@keras.saving.register_keras_serializable(package=_PACKAGE)
class SinusoidalPosition(keras.layers.Layer):
    """Adds the position in the window to `(batch, steps, width)`, counted back from the newest bar.

    Sine and cosine waves of geometrically growing length (Vaswani et al., Attention Is All You Need, 2017).
    """

    def call(self, inputs: Any) -> Any:  # noqa: D102 - documented by Keras
        _, steps, width = inputs.shape
        age = np.arange(steps - 1, -1, -1, dtype=np.float32)[:, None]
        rate = np.exp(-np.log(1000.0) * np.arange(0, width, 2, dtype=np.float32) / width)
        waves = np.concatenate([np.sin(age * rate), np.cos(age * rate)], axis=1)[:, :width]
        return inputs + ops.convert_to_tensor(waves.astype(np.float32))

    def compute_output_shape(self, input_shape: Any) -> Any:  # noqa: D102 - documented by Keras
        return input_shape


@keras.saving.register_keras_serializable(package=_PACKAGE)
class QuantileHead(keras.layers.Layer):
    """Three quantiles per horizon from `(batch, width)`: shape `(batch, horizons, 3)`, ascending by construction.

    The median is free; the outer two lie a softplus (always positive) below and above it. Untrained, the quantiles
    are `initial`, `(horizons, 3)`; without it those of a normal distribution, -1.28, 0 and 1.28 volatilities.
    """

    def __init__(
        self, horizons: int, seed: int = 0, initial: Sequence[Sequence[float]] | None = None, **kwargs: Any
    ) -> None:
        """Prepare for that many horizons."""
        super().__init__(**kwargs)
        self.horizons = horizons
        self.seed = seed
        self.initial = np.tile(NORMAL_QUANTILES, (horizons, 1)) if initial is None else np.asarray(initial, float)
        median = self.initial[:, 1]
        below, above = (_softplus_inverse(np.diff(self.initial)[:, side]) for side in (0, 1))
        self.dense = keras.layers.Dense(
            3 * horizons,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01, seed=seed),
            bias_initializer=keras.initializers.Constant(np.concatenate([median, below, above])),
        )

    def build(self, input_shape: Any) -> None:  # noqa: D102 - documented by Keras
        self.dense.build(input_shape)

    def call(self, inputs: Any) -> Any:  # noqa: D102 - documented by Keras
        raw = ops.reshape(self.dense(inputs), (-1, 3, self.horizons))
        median, below, above = raw[:, 0], ops.softplus(raw[:, 1]), ops.softplus(raw[:, 2])
        return ops.stack([median - below, median, median + above], axis=-1)

    def compute_output_shape(self, input_shape: Any) -> Any:  # noqa: D102 - documented by Keras
        return (input_shape[0], self.horizons, 3)

    def get_config(self) -> dict[str, Any]:  # noqa: D102 - documented by Keras
        return {
            **super().get_config(),
            "horizons": self.horizons,
            "seed": self.seed,
            "initial": self.initial.tolist(),
        }


def _softplus_inverse(value: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log(np.expm1(np.maximum(value, 0.01)))  # a price that stands still has a band without any width
