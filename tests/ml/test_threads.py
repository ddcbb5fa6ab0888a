"""TensorFlow's set-up, in a process of its own: it can be done only once."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.conftest import REPOSITORY

SCRIPT = """
from include.ml.config import TrainingConfig
from include.ml.threads import configure_tensorflow
device = configure_tensorflow(TrainingConfig("lstm", threads=1))
import tensorflow as tf
tf.constant(1.0) + 1.0
again = configure_tensorflow(TrainingConfig("lstm", threads=2))
print(device, again, tf.config.threading.get_intra_op_parallelism_threads())
"""
IMPORTS = """
import sys
import include.ml.training, include.ml.predictor, include.ml.checkpoints, include.ml.dataset, include.ml.evaluation
print(sorted({"tensorflow", "keras", "pandas"} & set(sys.modules)))
"""


def run(script: str) -> str:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip().splitlines()[-1]


def test_tc_async_007_without_a_gpu_the_cpu_is_used_and_threads_set_too_late_stay_as_they_were() -> None:
    assert run(SCRIPT) == "cpu cpu 1"


def test_importing_the_learning_modules_loads_no_tensorflow() -> None:
    assert run(IMPORTS) == "[]"
