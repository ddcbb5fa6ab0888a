"""Runs deterministic trainings in processes of their own, for `test_resume.py`.

usage: python -m tests.ml.resume_script FOLDER MODEL_TYPE...

For each type a child process trains and sends SIGKILL to itself as soon as epoch 50 is reported: nothing can be tidied
up after it. Then this process, which has trained nothing yet, continues in the child's checkpoint folder, trains the
same from the start in another one, and writes what it saw into `FOLDER/MODEL_TYPE.npz`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from include.ml.checkpoints import CheckpointStore
from include.ml.config import TrainingConfig
from include.ml.dataset import build_dataset
from include.ml.training import Progress, TrainedModel, train
from tests.ml.series import random_walk

EPOCHS = 60
KILL_AFTER = 50


def run(model_type: str, folder: Path, on_epoch: Callable[[Progress], None] | None = None) -> TrainedModel:
    """Train the small network for 60 epochs with checkpoints in the folder."""
    config = TrainingConfig.from_dict(
        {
            "model_type": model_type,
            "epochs": EPOCHS,
            "size": "small",
            "window": 8,
            "learning_rate": 0.01,
            "deterministic": True,
            "threads": 1,
        }
    )
    dataset = build_dataset(random_walk(500 + 175, seed=3), config, bars=500)
    return train(dataset, config, checkpoints=CheckpointStore(folder, "run"), on_epoch=on_epoch)


def weights(trained: TrainedModel) -> np.ndarray:
    """Return all trainable weights as one vector."""
    return np.concatenate([np.ravel(variable.value.numpy()) for variable in trained.model.trainable_variables])


def die(progress: Progress) -> None:
    """End this process the hard way once epoch 50 is done."""
    if progress.epoch == KILL_AFTER:
        os.kill(os.getpid(), signal.SIGKILL)


def killed(model_type: str, folder: Path) -> int:
    """Return the signal that ended a child which trained in the folder; it has imported TensorFlow already."""
    child = os.fork()
    if child == 0:
        try:
            run(model_type, folder, die)
        finally:
            os._exit(1)
    return os.WTERMSIG(os.waitpid(child, 0)[1])


def main() -> None:
    """Do what the arguments say: first the children, since a process that has computed must not fork."""
    import keras  # noqa: F401 - once for all of them: it takes longer than the trainings
    import tensorflow as tf  # noqa: F401

    folder, model_types = Path(sys.argv[1]), sys.argv[2:]
    signals = {model_type: killed(model_type, folder / model_type) for model_type in model_types}
    for model_type, ended_by in signals.items():
        left = CheckpointStore(folder / model_type, "run").epochs()
        resumed, straight = run(model_type, folder / model_type), run(model_type, folder / f"{model_type}_straight")
        values: dict[str, Any] = {
            "ended_by": ended_by,
            "checkpoints": left,
            "resumed_from_epoch": resumed.resumed_from_epoch,
            "epochs": [entry.epoch for entry in resumed.history],
            "weights": weights(resumed),
            "losses": [entry.loss for entry in resumed.history],
            "straight_weights": weights(straight),
            "straight_losses": [entry.loss for entry in straight.history],
        }
        np.savez(folder / f"{model_type}.npz", **values)


if __name__ == "__main__":
    main()
