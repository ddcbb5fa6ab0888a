"""Too little room on the disk: said before a training starts, and cleaned up after when it ends during one."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from include.ml.disk_space import free_disk_gb, require_free_disk
from include.ml.errors import DiskFullError
from tests.conftest import REPOSITORY
from tests.ml.training_room import CONFIG, REQUEST, Room

ONE_EPOCH = replace(REQUEST, config=replace(CONFIG, epochs=1, deterministic=False))


@pytest.fixture
def room(db: Database[dict[str, Any]], market_data_dir: Path, tmp_path: Path) -> Room:
    made = Room(db, market_data_dir, tmp_path)
    made.candle_store.upsert(made.candles())
    return made


def test_tc_async_026_too_little_space_is_refused_with_free_needed_and_setting(tmp_path: Path) -> None:
    state = tmp_path / "not" / "yet" / "there"
    require_free_disk(state, free_disk_gb(state) / 2)
    require_free_disk(state, 0)
    with pytest.raises(DiskFullError, match=r"Insufficient disk space: \d+\.\d GB free in .*, 100000000\.0 GB needed"):
        require_free_disk(state, 1e8)
    with pytest.raises(DiskFullError, match="TRADING_OPS_MIN_FREE_DISK_GB"):
        require_free_disk(state, 1e8)


def test_tc_async_026_the_training_itself_asks_again(room: Room) -> None:
    with pytest.raises(DiskFullError, match="Insufficient disk space"):
        room.train(ONE_EPOCH, min_free_disk_gb=1e8)
    assert room.nothing_half_written()
    assert not room.checkpoints.exists()


@pytest.mark.parametrize("stage", ["Loading data...", "Saving model..."])
def test_tc_async_026_a_disk_that_fills_up_leaves_no_remains_and_the_champion_alone(room: Room, stage: str) -> None:
    """The kernel refuses to let this process write files beyond some size, as it does on a disk without room."""
    champion = room.train(replace(ONE_EPOCH, task_id="before"))
    room.registry.promote(champion["model_id"], None, who="test", why="first")
    files = sorted(path for path in room.tmp_path.rglob("*") if path.is_file())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def on_progress(percent: int, details: Mapping[str, Any]) -> None:
        if details["message"] == stage:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))

    try:
        with pytest.raises(DiskFullError) as failed:
            room.train(ONE_EPOCH, on_progress=on_progress)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "free space there" in str(failed.value)
    assert "resume=true" in str(failed.value)
    assert (room.job()["status"], room.job()["error_type"]) == ("failed", "DiskFullError")
    left = sorted(path for path in room.tmp_path.rglob("*") if path.is_file())
    kept = [] if stage == "Loading data..." else list(room.checkpoints.glob("*_epoch_0001.ckpt"))
    assert left == sorted([*files, *kept])
    assert len(kept) == (stage == "Saving model...")
    assert room.db["models"].count_documents({}) == 1
    assert room.db["model_files.files"].count_documents({}) == room.db["model_weights"].count_documents({}) == 1
    pointer = room.registry.pointer("lstm", "BTCUSDT", "1h")
    assert pointer is not None
    assert pointer.model_id == champion["model_id"]


FILL = """
import sys
from pathlib import Path
import numpy as np
from include.ml.checkpoint_file import Checkpoint
from include.ml.checkpoints import CheckpointStore
from include.ml.disk_space import disk_room
from include.ml.errors import DiskFullError

folder = Path(sys.argv[1])
store = CheckpointStore(folder, "run")
store.save(Checkpoint(1, {}, {"w": np.zeros(50_000)}))
try:
    with disk_room(folder):
        store.save(Checkpoint(2, {}, {"w": np.zeros(500_000)}))
except DiskFullError as error:
    print(error)
print(sorted(path.name for path in folder.iterdir()))
"""


def test_tc_async_026_a_file_system_without_room_keeps_the_former_checkpoint(tmp_path: Path) -> None:
    """A file system of 1 MB, in a name space of its own, which needs no rights where the kernel allows it."""
    mount = 'mount -t tmpfs -o size=1m none "$1" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "-rm", "sh", "-c", mount, "sh", str(tmp_path), sys.executable, FILL]
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no name spaces on this machine: the test above limits the file size instead")
    answer = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    said, left = answer.stdout.strip().splitlines()
    assert "No space left on device" in said
    assert left == "['run_epoch_0001.ckpt']"
