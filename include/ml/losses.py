"""The training's loss, in plain TensorFlow. Importing this module loads TensorFlow."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from include.ml.labels import LABEL_HORIZON, QUANTILE_HORIZONS, QUANTILES

QUANTILE_WEIGHT = 0.5
"""Weight of the pinball loss beside the cross-entropy, which keeps both parts of similar size."""


PRIOR_SAMPLES = 900.0
"""Training samples that the baseline is worth: with as many, deviating from it costs as much as the data can gain.

Measured on BTCUSDT and ETHUSDT in 2022 and 2023, LSTM, 60 days (about 900 samples to learn from): without
the penalty the skill was -0.03 to -0.05 on average (worst window -0.16), with a tenth of it -0.022, with
half of it -0.010, with this much -0.004 (worst -0.018).
"""


def prior_penalty(output: Any, quantile_prior: Any, fit_samples: int) -> Any:
    """Return what leaving the prior costs each sample, shape `(batch,)`; it fades as the data grow.

    The prior is the baseline's logit, and for the returns `quantile_prior` `(horizons, 3)`, the same for every sample.
    Returns over h bars overlap h-fold and hold that much less evidence, so their weight grows with h.
    """
    weight = PRIOR_SAMPLES / fit_samples
    horizons = tf.constant(QUANTILE_HORIZONS, tf.float32)[None, :, None] / LABEL_HORIZON
    moved = tf.square(output["quantiles"] - tf.constant(quantile_prior, tf.float32))
    quantiles = tf.reduce_mean(horizons * moved, axis=(1, 2))
    return weight * (tf.square(output["deviation"][:, 0]) + QUANTILE_WEIGHT * quantiles)


def sample_losses(label: Any, target: Any, mask: Any, logit: Any, quantiles: Any) -> Any:
    """Return the loss of every sample, shape `(batch,)`: cross-entropy plus weighted pinball loss.

    :param label: `(batch,)`, 0 or 1.
    :param target: `(batch, horizons)` scaled returns, read where `mask` `(batch, horizons)` is 1.
    :param logit: `(batch, 1)`.
    :param quantiles: `(batch, horizons, 3)`.
    """
    cross_entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=label, logits=logit[:, 0])
    return cross_entropy + QUANTILE_WEIGHT * pinball(target, mask, quantiles)


def pinball(target: Any, mask: Any, quantiles: Any) -> Any:
    """Return the mean over quantiles and horizons of `max(q e, (q - 1) e)`, e = target - forecast; shape `(batch,)`.

    Masked horizons count as zero. Source: Koenker and Bassett, Regression Quantiles, 1978.
    """
    error = target[:, :, None] - quantiles
    levels = tf.constant(QUANTILES, tf.float32)
    loss = tf.maximum(levels * error, (levels - 1.0) * error)
    return tf.reduce_mean(loss * mask[:, :, None], axis=(1, 2))
