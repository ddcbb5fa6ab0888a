"""A training whose process dies by SIGKILL continues where its last checkpoint stands, to the same weights."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from include.ml.checkpoints import CheckpointStore
from tests.conftest import REPOSITORY
from tests.ml.resume_script import EPOCHS, KILL_AFTER

DEADLINE_S = 240


def run_script(*arguments: object) -> int:
    command = [sys.executable, "-m", "tests.ml.resume_script", *map(str, arguments)]
    return subprocess.run(
        command, cwd=REPOSITORY, stderr=subprocess.DEVNULL, timeout=DEADLINE_S, check=False
    ).returncode


@pytest.mark.slow
@pytest.mark.parametrize("model_type", ["lstm", "transformer"])
def test_tc_async_006_killed_after_epoch_50_it_continues_at_51_and_ends_with_equal_weights(
    model_type: str, tmp_path: Path
) -> None:
    killed, straight, result = tmp_path / "killed", tmp_path / "straight", tmp_path / "result.npz"
    assert run_script("kill", model_type, killed) == -signal.SIGKILL
    assert CheckpointStore(killed, "run").epochs() == [10, 20, 30, 40, 49, 50]
    assert run_script("resume", model_type, killed, straight, result) == 0
    found = np.load(result)
    assert int(found["resumed_from_epoch"]) == KILL_AFTER
    assert found["epochs"].tolist() == list(range(1, EPOCHS + 1))
    np.testing.assert_array_equal(found["losses"], found["straight_losses"])
    assert np.abs(found["weights"] - found["straight_weights"]).max() <= 1e-6
