"""The training's loss, in plain TensorFlow. Importing this module loads TensorFlow."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from include.ml.labels import QUANTILES

QUANTILE_WEIGHT = 0.5
"""Weight of the pinball loss beside the cross-entropy, which keeps both parts of similar size."""


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
