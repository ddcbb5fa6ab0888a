"""`up`, `down` and `status` where no environment runs, or something claims that one does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ops import embedded, lifecycle
from ops.environment import Environment
from ops.processes import kill_owned, marked, owned, spawn
from ops.run_dir import REPOSITORY, RunDir
from ops.status import Crash, State, Status
from tests.ops.conftest import eventually


@pytest.fixture
def environment(tmp_path: Path) -> RunDir:
    run_dir = RunDir(tmp_path / "run")
    run_dir.create()
    return run_dir


def stale(run_dir: RunDir, pid: int) -> None:
    crash = Crash("scheduler", "2026-01-01T00:00:00+00:00", -9, "/somewhere.log", ["the end"])
    Status(State.RUNNING, supervisor_pid=pid, started_at="2026-01-01T00:00:00+00:00", crashes=[crash]).write(
        run_dir.status_file
    )


def test_a_status_file_whose_pid_is_a_strangers_is_not_believed(
    environment: RunDir, capsys: pytest.CaptureFixture[str]
) -> None:
    stale(environment, pid=os.getpid())  # alive, but no supervisor of ours
    assert lifecycle.supervisor_of(environment) is None
    assert lifecycle.status(embedded.MODE, environment) == 1
    printed = capsys.readouterr().out
    assert "Not running." in printed
    assert "scheduler ended by itself" in printed


def test_down_without_anything_running_says_what_had_crashed_and_succeeds(
    environment: RunDir, capsys: pytest.CaptureFixture[str]
) -> None:
    stale(environment, pid=2**22 + 1)
    assert lifecycle.down(embedded.MODE, environment) == 0
    assert "scheduler ended by itself" in capsys.readouterr().out
    assert Status.read(environment.status_file).state is State.STOPPED


def test_down_ends_what_a_killed_supervisor_left(environment: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    orphan = spawn(
        [sys.executable, "-c", "import time; time.sleep(600)"],
        marked(os.environ, environment.path, "scheduler"),
        environment.log("scheduler"),
    )
    try:
        eventually(lambda: owned(environment.path))
        assert lifecycle.status(embedded.MODE, environment) == 1
        assert "supervisor is gone" in capsys.readouterr().out
        assert lifecycle.down(embedded.MODE, environment) == 0
        assert orphan.wait(10) == -9
    finally:
        kill_owned(environment.path)
        orphan.wait()


def test_down_fails_when_a_port_of_the_environment_is_still_taken(
    environment: RunDir, capsys: pytest.CaptureFixture[str]
) -> None:
    import socket

    prepared, _ = Environment.prepare(environment)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", prepared.ports["mongod"]))
        listener.listen()
        assert lifecycle.down(embedded.MODE, environment) == 1
    assert f"port {prepared.ports['mongod']} (mongod) is still taken" in capsys.readouterr().err


def command(name: str, run_dir: RunDir, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ops.embedded", name],
        env={
            **os.environ,
            "TRADING_OPS_RUN_DIR": str(run_dir.path),
            "TRADING_OPS_ENV_FILE": os.devnull,
            "TRADING_OPS_SANDBOX": "0",
            **variables,
        },
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_down_without_an_environment_makes_none(tmp_path: Path) -> None:
    never = RunDir(tmp_path / "never")
    assert command("down", never).returncode == 0
    assert not never.path.exists()


def test_two_commands_do_not_work_on_one_environment_at_once(environment: RunDir) -> None:
    with lifecycle.only_one(environment):
        answer = command("down", environment)
    assert answer.returncode == 1
    assert "Another `up` or `down` is at work" in answer.stderr


def test_a_start_that_fails_says_which_component_and_leaves_nothing(environment: RunDir) -> None:
    answer = command(
        "up",
        environment,
        AIRFLOW_CONN_MONGO_DEFAULT="mongo://127.0.0.1:1",
        AIRFLOW__CORE__AUTH_MANAGER="nowhere.Nothing",
    )
    assert answer.returncode == 1
    assert "setting up Airflow failed" in answer.stderr
    assert owned(environment.path) == []
    assert Status.read(environment.status_file).state is State.FAILED
    assert lifecycle.down(embedded.MODE, environment) == 0


def test_the_secrets_are_not_in_the_files_that_everybody_reads(environment: RunDir) -> None:
    prepared, _ = Environment.prepare(environment)
    texts = [file.read_text() for file in environment.path.rglob("*.json")]
    assert texts
    assert not [secret for secret in prepared.secrets.values() for text in texts if secret in text]
    assert json.loads(environment.environment_file.read_text())["ports"] == prepared.ports
