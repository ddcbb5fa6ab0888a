"""`python -m ops.stack remove` where no stack runs: it deletes a stack's folder and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.run_dir import RunDir
from ops.stack.__main__ import remove
from ops.stack.twin import Twin


def test_a_folder_that_is_no_stack_s_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    precious = tmp_path / "work" / "precious"
    precious.parent.mkdir()
    precious.touch()
    assert remove(RunDir.at(tmp_path / "work")) == 1
    assert "is not the folder of a stack" in capsys.readouterr().err
    assert precious.exists()
    assert [path.name for path in precious.parent.iterdir()] == ["precious"]


def test_the_folder_of_a_stack_is_deleted(tmp_path: Path) -> None:
    run_dir = RunDir.at(tmp_path / "stack")
    Twin.describe(run_dir)
    assert remove(run_dir) == 0
    assert not run_dir.path.exists()


def test_there_may_be_nothing_to_remove(tmp_path: Path) -> None:
    assert remove(RunDir.at(tmp_path / "none")) == 0
