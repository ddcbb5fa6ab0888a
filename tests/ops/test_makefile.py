"""The commands of the README exist, explain themselves, and the pipeline runs those that test."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from ops.run_dir import REPOSITORY

EVERYDAY = {"help", "up", "demo", "down", "status", "test", "test-long", "critical", "lint", "lock", "bench"}
DISTRIBUTED = {"stack", "stack-down", "test-stack", "chaos", "load"}


def test_make_alone_explains_every_target() -> None:
    printed = subprocess.run(["make", "-s"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    explained = dict(re.findall(r"^  make ([\w-]+) +(.+)$", printed, flags=re.MULTILINE))
    assert set(explained) == EVERYDAY | DISTRIBUTED
    assert all(len(text) > 10 for text in explained.values())


def test_the_pipeline_runs_the_test_commands_of_the_readme_and_nothing_else() -> None:
    script = (REPOSITORY / ".ci" / "run").read_text().splitlines()
    commands = [line for line in script if line and not line.startswith(("#", "set ", "cd "))]
    assert commands == ["make test", "make test-long", "exec make test-stack"]
    assert "set -eu" in script, "a later one is not to hide that one before it failed"
    readme = (REPOSITORY / "README.md").read_text()
    assert all(re.search(rf"^{command.removeprefix('exec ')} ", readme, flags=re.MULTILINE) for command in commands)
    assert os.access(REPOSITORY / ".ci" / "run", os.X_OK)


def bootstrap(tmp_path: Path, *, tools: str) -> subprocess.CompletedProcess[str]:
    """Run a copy of the bootstrap on a machine that has only the named programs."""
    (tmp_path / "ops").mkdir(exist_ok=True)
    programs = tmp_path / "bin"
    programs.mkdir(exist_ok=True)
    for name in tools.split():
        found = shutil.which(name)
        assert found, name
        (programs / name).unlink(missing_ok=True)
        (programs / name).symlink_to(found)
    shutil.copy(REPOSITORY / "ops" / "bootstrap.sh", tmp_path / "ops")
    shutil.copy(REPOSITORY / "requirements-dev.lock", tmp_path)
    shell = shutil.which("sh")
    assert shell
    return subprocess.run(
        [shell, "ops/bootstrap.sh"],
        cwd=tmp_path, env={"PATH": str(programs)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_bootstrap_says_in_one_line_which_python_is_missing(tmp_path: Path) -> None:
    answer = bootstrap(tmp_path, tools="dirname cksum cat id uname sed")
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1
    assert "missing: Python 3.11 or 3.12" in answer.stderr


def test_bootstrap_does_nothing_when_the_lock_is_installed_already(tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    with (REPOSITORY / "requirements-dev.lock").open("rb") as lock:
        stamp = subprocess.run(["cksum"], stdin=lock, capture_output=True, check=True).stdout
    (tmp_path / ".venv" / ".installed").write_bytes(stamp)
    answer = bootstrap(tmp_path, tools="dirname cksum cat")
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")


def test_bootstrap_installs_again_when_the_lock_changed(tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / ".installed").write_text("another lock\n")
    answer = bootstrap(tmp_path, tools="dirname cksum cat id uname sed")
    assert "missing: Python" in answer.stderr  # it went to work instead of trusting the stamp
