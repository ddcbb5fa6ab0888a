"""A training whose process dies by SIGKILL continues where its last checkpoint stands, to the same weights."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import REPOSITORY
from tests.ml.resume_script import EPOCHS, KILL_AFTER

DEADLINE_S = 480
MODEL_TYPES = ("lstm", "transformer")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with what the killed and the resumed trainings of both types left."""
    folder = tmp_path_factory.mktemp("resume")
    command = [sys.executable, "-m", "tests.ml.resume_script", str(folder), *MODEL_TYPES]
    ended = subprocess.run(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True, timeout=DEADLINE_S, check=False)
    assert ended.returncode == 0, ended.stderr
    return folder


@pytest.mark.long
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_tc_async_006_killed_after_epoch_50_it_continues_at_51_and_ends_with_equal_weights(
    model_type: str, results: Path
) -> None:
    found = np.load(results / f"{model_type}.npz")
    assert int(found["ended_by"]) == signal.SIGKILL
    assert found["checkpoints"].tolist() == [10, 20, 30, 40, 49, 50]
    assert int(found["resumed_from_epoch"]) == KILL_AFTER
    assert found["epochs"].tolist() == list(range(1, EPOCHS + 1))
    np.testing.assert_array_equal(found["losses"], found["straight_losses"])
    assert np.abs(found["weights"] - found["straight_weights"]).max() <= 1e-6
