"""Runs one deterministic training in a process of its own, for `test_resume.py`.

usage: python -m tests.ml.resume_script kill MODEL_TYPE CHECKPOINT_FOLDER
       python -m tests.ml.resume_script resume MODEL_TYPE CHECKPOINT_FOLDER OTHER_FOLDER RESULT.npz

`kill` sends SIGKILL to its own process as soon as epoch 50 is reported: nothing can be tidied up after it. `resume`
continues in the checkpoint folder, then trains the same from the start in the other one, and writes both results.
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


def main() -> None:
    """Do what the arguments say."""
    action, model_type, folder, *rest = sys.argv[1:]
    if action == "kill":
        run(model_type, Path(folder), die)
        return
    other, result = rest
    resumed, straight = run(model_type, Path(folder)), run(model_type, Path(other))
    values: dict[str, Any] = {
        "resumed_from_epoch": resumed.resumed_from_epoch,
        "epochs": [entry.epoch for entry in resumed.history],
        "weights": weights(resumed),
        "losses": [entry.loss for entry in resumed.history],
        "straight_weights": weights(straight),
        "straight_losses": [entry.loss for entry in straight.history],
    }
    np.savez(result, **values)


if __name__ == "__main__":
    main()
