"""How TensorFlow behaves in this process: threads, determinism, memory of a GPU."""

from __future__ import annotations

import logging
import os

from include.ml.config import TrainingConfig

logger = logging.getLogger(__name__)

NO_GPU = "GPU not available, using CPU"


def configure_tensorflow(config: TrainingConfig) -> str:
    """Import TensorFlow, set its threads and determinism as `config` says, and return the device: `gpu` or `cpu`.

    Threads can be set only before TensorFlow has run anything in this process; later the former number stays,
    which a warning says. Without a usable GPU the training runs on the CPU. Determinism, once on, stays on.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import tensorflow as tf

    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    if config.threads is not None and config.threads != tf.config.threading.get_intra_op_parallelism_threads():
        try:
            tf.config.threading.set_intra_op_parallelism_threads(config.threads)
            tf.config.threading.set_inter_op_parallelism_threads(config.threads)
        except RuntimeError:
            logger.warning("TensorFlow already runs in this process: its threads cannot be set to %d", config.threads)
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError:
            logger.warning("The GPU is already in use by this process: its memory growth cannot be changed")
    if not gpus:
        logger.warning(NO_GPU)
    return "gpu" if gpus else "cpu"
