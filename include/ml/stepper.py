"""The compiled heart of a training: one epoch over index batches. Importing this module loads TensorFlow.

The feature matrix lies in memory once; a batch gathers its windows from it (an array of all windows would be
60 times as large). Batches run in chunks of about a quarter of a second inside one native call, so that a
request to stop is heard between them. Results do not depend on how the batches are cut into chunks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from include.ml.config import TrainingConfig
from include.ml.dataset import Dataset, RowArray
from include.ml.losses import prior_penalty, sample_losses

CHUNK_SECONDS = 0.25
EVALUATION_BATCH = 512
XLA_MIN_SAMPLES = 50_000
"""Samples times epochs from which compiling a recurrent step with XLA (a few seconds) pays for itself."""


class Stepper:
    """Trains `model` in place on the fit part of `dataset` and evaluates it on the inner one."""

    def __init__(
        self, model: keras.Model, optimizer: keras.optimizers.Optimizer, dataset: Dataset, config: TrainingConfig
    ) -> None:
        """Place the data in the device's memory and prepare (not yet compile) the functions."""
        self._dataset, self._config = dataset, config
        self._generators = [v for v in model.non_trainable_variables if v.path.endswith("seed_generator_state")]
        offsets = tf.range(1 - config.window, 1)
        features = tf.constant(dataset.features)
        label = tf.constant(dataset.label)
        target, mask = tf.constant(dataset.quantile_target), tf.constant(dataset.quantile_mask)
        variables = model.trainable_variables

        def losses(rows: Any, *, training: bool) -> tuple[Any, Any]:
            output = model(tf.gather(features, rows[:, None] + offsets), training=training)
            truth = tf.gather(label, rows)
            each = sample_losses(
                truth, tf.gather(target, rows), tf.gather(mask, rows), output["logit"], output["quantiles"]
            )
            if training:
                each += prior_penalty(output, dataset.quantile_prior, len(dataset.fit))
            return each, tf.cast((output["logit"][:, 0] > 0) == (truth > 0.5), tf.float32)

        def step(rows: Any) -> Any:
            real = tf.cast(rows >= 0, tf.float32)  # the last batch is filled up with -1
            with tf.GradientTape() as tape:
                each, _ = losses(tf.where(rows >= 0, rows, config.window), training=True)
                loss = tf.reduce_sum(each * real) / tf.reduce_sum(real)
            optimizer.apply(tape.gradient(loss, variables), variables)
            return loss

        xla = config.model_type != "transformer" and config.epochs * len(dataset.fit) >= XLA_MIN_SAMPLES
        compiled_step = tf.function(step, jit_compile=True, autograph=False) if xla else step

        # Without autograph, which would leave a file in the temporary folder when the process ends by os._exit.
        @tf.function(input_signature=[tf.TensorSpec((None, config.batch_size), tf.int32)], autograph=False)
        def train_chunk(batches: Any) -> Any:
            count = tf.shape(batches)[0]
            result = tf.TensorArray(tf.float32, size=count)
            _, result = tf.while_loop(
                lambda at, _: at < count,
                lambda at, losses: (at + 1, losses.write(at, compiled_step(batches[at]))),
                (tf.constant(0), result),
                parallel_iterations=1,
            )
            return result.stack()

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.int32)], autograph=False)
        def evaluate_chunk(rows: Any) -> tuple[Any, Any]:
            each, right = losses(rows, training=False)
            return tf.reduce_sum(each), tf.reduce_sum(right)

        self._train_chunk, self._evaluate_chunk = train_chunk, evaluate_chunk
        self._batches_per_chunk = 1

    def train_epoch(self, epoch: int, between_chunks: Callable[[float], None]) -> float:
        """Train one epoch (numbered from 1) and return its mean loss per batch.

        Order of the samples and dropout follow from seed and epoch alone, so that an epoch repeated after a
        resume is the same. `between_chunks` is called every quarter of a second with the share of the epoch that is
        done, and may raise. A loss that is no number ends the epoch early and is returned.
        """
        self._seed_dropout(epoch)
        batches = self._batches(epoch)
        losses: list[NDArray[np.float32]] = []
        done = 0
        while done < len(batches):
            between_chunks(done / len(batches))
            chunk = batches[done : done + self._batches_per_chunk]
            started = time.perf_counter()
            losses.append(self._train_chunk(tf.constant(chunk)).numpy())
            seconds = time.perf_counter() - started
            done += len(chunk)
            if not np.isfinite(losses[-1]).all():
                return float("nan")
            # The first call of all compiles: its time says nothing, so the chunk at most doubles.
            wanted = int(CHUNK_SECONDS / max(seconds / len(chunk), 1e-6))
            self._batches_per_chunk = max(1, min(2 * self._batches_per_chunk, wanted))
        return float(np.concatenate(losses).mean(dtype=np.float64))

    def evaluate(self, rows: RowArray) -> tuple[float, float]:
        """Return mean loss and accuracy over the samples `rows`, without dropout."""
        sums = np.zeros(2)
        for first in range(0, len(rows), EVALUATION_BATCH):
            part = self._evaluate_chunk(tf.constant(rows[first : first + EVALUATION_BATCH]))
            sums += [float(value) for value in part]
        loss, accuracy = sums / len(rows)
        return float(loss), float(accuracy)

    def _batches(self, epoch: int) -> RowArray:
        order = np.random.default_rng([self._config.seed, epoch]).permutation(self._dataset.fit)
        size = self._config.batch_size
        padded = np.full(-(-len(order) // size) * size, -1, np.int32)
        padded[: len(order)] = order
        return padded.reshape(-1, size)

    def _seed_dropout(self, epoch: int) -> None:
        for number, generator in enumerate(self._generators):
            start = np.random.SeedSequence([self._config.seed, epoch, number]).generate_state(1, np.uint32)
            generator.assign(np.array([start[0], 0], np.uint32))
