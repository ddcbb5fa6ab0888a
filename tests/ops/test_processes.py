"""Processes are recognised as ours by what they carry, and ended with everything they started."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ops.processes import COMPONENT_VARIABLE, end, kill_owned, listens, marked, owned, spawn
from ops.run_dir import RUN_DIR_VARIABLE
from tests.ops.conftest import eventually

SLEEP = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEP
WITH_CHILD_IN_ITS_OWN_SESSION = (
    f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {STUBBORN!r}], start_new_session=True)\n" + SLEEP
)


@pytest.fixture(autouse=True)
def reaped(run_dir: Path) -> Iterator[None]:
    """End and wait for what a test started."""
    yield
    kill_owned(run_dir)
    for process in STARTED:
        process.wait()
    STARTED.clear()


STARTED: list[subprocess.Popen[bytes]] = []


def start(code: str, run_dir: Path, component: str = "one") -> subprocess.Popen[bytes]:
    log = run_dir / f"{component}.log"
    process = spawn([sys.executable, "-c", code], marked(os.environ, run_dir, component), log)
    lines = 2 if code == WITH_CHILD_IN_ITS_OWN_SESSION else 1
    STARTED.append(process)
    eventually(lambda: log.read_text().count("up") == lines)
    return process


def test_a_process_and_its_children_are_found_by_folder_and_component(run_dir: Path) -> None:
    one = start(WITH_CHILD_IN_ITS_OWN_SESSION, run_dir, "one")
    two = start(SLEEP, run_dir, "two")
    children = {child.pid for child in psutil.Process(one.pid).children()}
    assert {process.pid for process in owned(run_dir)} == {one.pid, two.pid, *children}
    assert {process.pid for process in owned(run_dir, "two")} == {two.pid}
    assert len(children) == 1


def test_another_environments_processes_are_not_ours(run_dir: Path, tmp_path: Path) -> None:
    start(SLEEP, run_dir)
    other = tmp_path / "other"
    other.mkdir()
    stranger = start(SLEEP, other)
    try:
        assert stranger.pid not in {process.pid for process in owned(run_dir)}
        assert kill_owned(run_dir) == 1
        assert stranger.poll() is None
    finally:
        kill_owned(other)
        stranger.wait()


def test_a_program_that_only_knows_the_folder_is_not_ours(run_dir: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != COMPONENT_VARIABLE}
    caller = subprocess.Popen(
        [sys.executable, "-c", SLEEP], env={**environment, RUN_DIR_VARIABLE: str(run_dir)}, stdout=subprocess.DEVNULL
    )
    try:
        assert owned(run_dir) == []
    finally:
        caller.kill()
        caller.wait()


def test_a_process_that_asked_ends_is_not_killed(run_dir: Path) -> None:
    process = start(SLEEP, run_dir)
    assert end(process, run_dir, "one", grace_s=30) == 0
    assert process.poll() == -15


def test_what_does_not_end_when_asked_is_killed_with_its_children(run_dir: Path) -> None:
    process = start(STUBBORN, run_dir)
    assert end(process, run_dir, "one", grace_s=0.1) == 1
    assert process.poll() == -9
    process = start(WITH_CHILD_IN_ITS_OWN_SESSION, run_dir, "family")
    assert end(process, run_dir, "family", grace_s=30) == 1  # the child ignores the request
    assert owned(run_dir) == []


def test_ending_one_component_leaves_the_others(run_dir: Path) -> None:
    one, two = start(SLEEP, run_dir, "one"), start(SLEEP, run_dir, "two")
    end(one, run_dir, "one", grace_s=30)
    assert {process.pid for process in owned(run_dir)} == {two.pid}


def test_only_a_port_that_the_component_itself_listens_on_counts(run_dir: Path) -> None:
    listen = (
        "import pathlib, socket\n"
        "s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n"
        f"pathlib.Path({str(run_dir / 'port')!r}).write_text(str(s.getsockname()[1]))\n" + SLEEP
    )
    start(listen, run_dir, "api")
    port = int((run_dir / "port").read_text())
    assert listens(run_dir, "api", port)
    assert not listens(run_dir, "other", port)
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        assert not listens(run_dir, "api", stranger.getsockname()[1])
