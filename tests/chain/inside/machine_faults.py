"""What the machine does to Airflow's processes in these tests.

Two faults, neither in code of the bundle: a training batch of 512 samples or more does not fit into memory when
TensorFlow computes it, and the file system reports half a gigabyte free while the file that
`CHAIN_FAULT_DISK_FULL` names exists.
"""

from __future__ import annotations

import os
import shutil
from typing import Any

from after_import import AfterImport

LSTM_MODULE = "keras.src.layers.rnn.lstm"
TOO_LARGE = 512
HALF_A_GB = 5 * 10**8


def greedy(module: Any) -> None:
    """Change Keras's LSTM."""
    plain = module.LSTM.call

    # Keras reads the names of the arguments: they are those of its own method.
    def call(self: Any, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False) -> Any:
        if training and (sequences.shape[0] or 0) >= TOO_LARGE:
            import tensorflow as tf

            hog = tf.numpy_function(refuse_memory, [], tf.float32)
            hog.set_shape(())
            sequences += 0.0 * hog
        return plain(self, sequences, initial_state=initial_state, mask=mask, training=training)

    module.LSTM.call = call


def refuse_memory() -> float:
    """Refuse as NumPy does; TensorFlow makes a ResourceExhaustedError of it, as of its own allocator's refusal."""
    raise MemoryError("Unable to allocate the batch")


plain_disk_usage = shutil.disk_usage


def disk_usage(path: Any) -> Any:
    usage = plain_disk_usage(path)
    full = os.path.exists(os.environ.get("CHAIN_FAULT_DISK_FULL", ""))  # noqa: PTH110 - pathlib would slow every start
    return usage._replace(free=HALF_A_GB) if full else usage


def install() -> None:
    """Let both faults happen in this process."""
    AfterImport(LSTM_MODULE, greedy)
    shutil.disk_usage = disk_usage
