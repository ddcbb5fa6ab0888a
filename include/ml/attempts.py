"""Training again after what a smaller batch or another device helps against, from the last checkpoint each time.

This happens inside one try of the task: the candles are loaded, the claim is held, and Airflow's own retries stay for
what is wrong outside of the training.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from include.ml.errors import DeviceFailedError, OutOfMemoryError
from include.ml.threads import NO_GPU

if TYPE_CHECKING:
    from include.ml.config import TrainingConfig
    from include.ml.train_result import Circumstances
    from include.ml.training import TrainedModel

logger = logging.getLogger(__name__)

MAX_HALVINGS = 3

Attempt = Callable[["TrainingConfig", bool], "TrainedModel"]
"""One call of `include.ml.training.train` with this configuration; the flag says to leave a GPU alone."""


def train_with_fallbacks(attempt: Attempt, circumstances: Circumstances) -> TrainedModel:
    """Train; when memory runs out with half the batch (three times at most), when a GPU fails on the CPU.

    What was changed is left in `circumstances`: the configuration really used, and the warnings.

    :raises OutOfMemoryError: when the batch cannot be halved any further.
    """
    asked, halvings, cpu_only = circumstances.config.batch_size, 0, False
    while True:
        problem: str
        try:
            trained = attempt(circumstances.config, cpu_only)
        except MemoryError as error:
            problem = str(error) or "MemoryError"
            batch_size = circumstances.config.batch_size
            smaller = circumstances.config.with_half_batch() if halvings < MAX_HALVINGS else None
        except DeviceFailedError as error:
            cpu_only = True
            logger.warning("%s; going on at the last checkpoint: %s", NO_GPU, error)
            circumstances.warn(NO_GPU)
            circumstances.warn(str(error))
            smaller = circumstances.config
        else:
            if trained.device == "cpu":
                circumstances.warn(NO_GPU)
            return trained
        # Here the error is gone, and with it the frames that held the failed attempt's arrays.
        free_memory()
        if smaller is None:
            raise OutOfMemoryError(
                f"Out of memory: the training did not fit with a batch size of {batch_size} either (asked for {asked}, "
                f"halved {halvings} time(s)); ask for fewer days_of_data or a smaller batch_size, or give the worker "
                f"more memory, then go on with resume=true ({problem[:300]})"
            )
        if smaller is not circumstances.config:
            halvings += 1
            logger.warning(
                "Out of memory: reducing batch_size from %d to %d and going on at the last checkpoint (%s)",
                circumstances.config.batch_size, smaller.batch_size, problem[:300],
            )  # fmt: skip
            circumstances.warn(
                f"Out of memory: batch_size reduced from {circumstances.config.batch_size} to {smaller.batch_size}"
            )
            circumstances.config = smaller


def free_memory() -> None:
    """Let go of what a failed attempt has left in Keras and in reference cycles."""
    import keras

    keras.backend.clear_session()
    gc.collect()
