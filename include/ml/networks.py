"""The three networks: what they share, and what each does with the window. Importing this loads TensorFlow.

Every network adds three things up to the logit of its forecast:

    baseline (fixed)  what is known without learning: for the trend label, how far the close is from its EMA12
    skip              a linear reading of the newest bar
    trunk             what LSTM, GRU or attention find in the whole window

Skip and trunk, together the *deviation*, start at zero and are held small by the loss (`losses.py`), so that an
untrained network *is* the baseline and learns where to leave it. A thousand samples, overlapping
eightfold, are too few to find the baseline *and* anything beyond it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from include.ml.config import TrainingConfig
from include.ml.features import TREND_FEATURE
from include.ml.layers import QuantileHead, SinusoidalPosition
from include.ml.spec import ModelSpec

TREND_SLOPE = 0.84
"""Logit of "the EMA12 rises over 8 bars" per unit of (close - EMA12) / volatility, on a random walk.

With b = 11/13 the EMA moves by (1 - b^8) d, plus the sum over the coming closes of (1 - b^m) e_m, m = 1..8: the
probability is Phi(0.737 d / 1.495), and Phi(x) is close to the logistic function of 1.70 x.
"""


ATTENTION_HEADS = 4


@dataclass(frozen=True)
class Width:
    """Sizes of a network's layers; share of the features and of the trunk's outputs that dropout hides."""

    units: tuple[int, ...]
    input_dropout: float
    trunk_dropout: float


WIDTHS: dict[tuple[str, str], Width] = {
    ("lstm", "standard"): Width((64, 32), 0.2, 0.5),
    ("gru", "standard"): Width((64, 32), 0.2, 0.5),
    ("transformer", "standard"): Width((32, 32), 0.2, 0.5),
    ("lstm", "small"): Width((16,), 0.1, 0.2),
    ("gru", "small"): Width((16,), 0.1, 0.2),
    ("transformer", "small"): Width((16,), 0.1, 0.2),
}


def build_network(
    config: TrainingConfig, spec: ModelSpec, quantile_prior: NDArray[np.floating[Any]] | None = None
) -> keras.Model:
    """Return the network of `config`, freshly initialised from `config.seed`.

    Input `(batch, window, F)` of scaled features. Outputs: `deviation`, `logit` and `probability`, `(batch, 1)` each,
    and `quantiles` `(batch, horizons, 3)` in multiples of `volatility * sqrt(h)`, which start at `quantile_prior`
    `(horizons, 3)`, by default at a normal distribution's.
    """
    width = WIDTHS[config.model_type, config.size]
    seeds = iter(range(config.seed * 1000, config.seed * 1000 + 1000))
    window = keras.Input((config.window, len(spec.feature_names)), name="window")
    body = _transformer if config.model_type == "transformer" else _recurrent
    visible = layers.SpatialDropout1D(width.input_dropout, seed=next(seeds), name="input_dropout")(window)
    trunk = body(visible, config.model_type, width, seeds)
    trunk = layers.Dropout(width.trunk_dropout, seed=next(seeds), name="trunk_dropout")(trunk)
    newest = window[:, -1, :]
    deviation = layers.Add(name="deviation")(
        [
            layers.Dense(1, kernel_initializer="zeros", name="skip")(newest),
            layers.Dense(1, kernel_initializer="zeros", use_bias=False, name="trunk")(trunk),
        ]
    )
    logit = deviation
    if config.target == "trend":
        logit = layers.Add(name="logit")([_baseline(spec)(newest), deviation])
    probability = layers.Activation("sigmoid", name="probability")(logit)
    initial = None if quantile_prior is None else np.asarray(quantile_prior, float).tolist()
    quantiles = QuantileHead(len(spec.quantile_horizons), seed=next(seeds), initial=initial, name="quantiles")(trunk)
    outputs = {"logit": logit, "deviation": deviation, "probability": probability, "quantiles": quantiles}
    return keras.Model(window, outputs, name=f"{config.model_type}_{config.size}")


def _baseline(spec: ModelSpec) -> keras.layers.Layer:
    """Return the fixed layer that reads the trend feature, unscaled again, times the slope."""
    at = spec.feature_names.index(TREND_FEATURE)
    kernel = np.zeros((len(spec.feature_names), 1), np.float32)
    kernel[at] = TREND_SLOPE * spec.scaler_scale[at]
    return layers.Dense(
        1,
        kernel_initializer=keras.initializers.Constant(kernel),
        bias_initializer=keras.initializers.Constant(TREND_SLOPE * spec.scaler_mean[at]),
        trainable=False,
        name="baseline",
    )


def _recurrent(x: Any, kind: str, width: Width, seeds: Iterator[int]) -> Any:
    layer = layers.LSTM if kind == "lstm" else layers.GRU
    for number, units in enumerate(width.units, start=1):
        x = layer(
            units,
            return_sequences=number < len(width.units),
            kernel_initializer=keras.initializers.GlorotUniform(seed=next(seeds)),
            recurrent_initializer=keras.initializers.Orthogonal(seed=next(seeds)),
            seed=next(seeds),
            name=f"{kind}_{number}",
        )(x)
    return x


def _transformer(x: Any, _kind: str, width: Width, seeds: Iterator[int]) -> Any:
    """Return the newest bar's view of the window after pre-norm encoder blocks (attention, then a small MLP)."""
    size = width.units[0]
    x = SinusoidalPosition(name="position")(_dense(size, seeds, "projection")(x))
    for number in range(1, len(width.units) + 1):
        normed = layers.LayerNormalization(name=f"attention_norm_{number}")(x)
        attention = layers.MultiHeadAttention(
            ATTENTION_HEADS,
            size // ATTENTION_HEADS,
            kernel_initializer=keras.initializers.GlorotUniform(seed=next(seeds)),
            seed=next(seeds),
            name=f"attention_{number}",
        )(normed, normed)
        x = layers.Add(name=f"attention_sum_{number}")([x, attention])
        normed = layers.LayerNormalization(name=f"mlp_norm_{number}")(x)
        hidden = _dense(2 * size, seeds, f"mlp_in_{number}", activation="relu")(normed)
        x = layers.Add(name=f"mlp_sum_{number}")([x, _dense(size, seeds, f"mlp_out_{number}")(hidden)])
    return layers.LayerNormalization(name="final_norm")(x)[:, -1, :]


def _dense(size: int, seeds: Iterator[int], name: str, activation: str | None = None) -> keras.layers.Layer:
    initializer = keras.initializers.GlorotUniform(seed=next(seeds))
    return layers.Dense(size, activation=activation, kernel_initializer=initializer, name=name)
