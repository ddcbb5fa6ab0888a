"""What the tests of the operations share: questions to a real Airflow in a process of its own, and tiny processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.processes import kill_owned
from ops.run_dir import REPOSITORY


def eventually(condition: Callable[[], object], timeout_s: float = 30.0) -> None:
    """Return as soon as the condition holds; fail when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def ask_airflow(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """Run Python that prints JSON in a process with the bundle's airflow.cfg, and return what it printed."""
    home = tmp_path_factory.mktemp("airflow_home")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW__")}
    environment = {
        **inherited,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_CONFIG": str(REPOSITORY / "airflow.cfg"),
        "TRADING_OPS_ROOT": str(REPOSITORY),
        "PYTHONPATH": str(REPOSITORY),
    }

    def ask(code: str) -> Any:
        answer = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert answer.returncode == 0, answer.stderr
        return json.loads(answer.stdout.splitlines()[-1])

    return ask


@pytest.fixture
def run_dir(tmp_path: Path) -> Iterator[Path]:
    """A run folder whose processes are ended after the test, whatever happened."""
    folder = tmp_path / "run"
    folder.mkdir()
    yield folder
    kill_owned(folder)
