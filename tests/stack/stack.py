"""The native stack as the tests use it: runs, processes that are stopped and killed, and what is counted afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pymongo
import pytest
from bson.codec_options import CodecOptions
from pymongo.database import Database

from ops.client import FINISHED_RUN_STATES, AirflowApiError, AirflowClient
from ops.environment import ADMIN_NAME
from ops.processes import kill_owned, owned
from ops.run_dir import REPOSITORY, RUN_DIR_VARIABLE, RunDir
from ops.stack.twin import SPEC_ENDPOINTS, Twin
from ops.status import Status
from ops.supervisor import hold, release
from sandbox.control import Control
from tests.chain.conftest import OVERRIDDEN, RunView

SETTINGS = {
    "TRADING_OPS_ENV_FILE": os.devnull,
    "TRADING_OPS_MIN_FREE_DISK_GB": "1",
    "TRADING_OPS_TRAININGS_PER_USER_PER_DAY": "100000",
    SPEC_ENDPOINTS: "1",
    "CUDA_VISIBLE_DEVICES": "",
}
"""What the tests change of what is shipped: limits of people's patience, none of the numbers that bound the work."""

SHARED = {
    # The chain retrains every configured symbol with the configured epochs: once and briefly is enough to see it.
    "TRADING_OPS_SYMBOLS": "BTCUSDT",
    "TRADING_OPS_RETRAIN_EPOCHS": "2",
    "TRADING_OPS_RETRAIN_DAYS": "30",
    # Two epochs are as good as the market of the day allows: whether they deploy is not what is tested here.
    "TRADING_OPS_MIN_DEPLOY_ACCURACY": "0.3",
    "TRADING_OPS_MIN_DEPLOY_SKILL": "-0.7",
    # A second one takes over what a lost one has begun. The pool's slots are two, as with one.
    "TRADING_OPS_CPU_TRAINING_WORKERS": "2",
}
"""Settings of the stack that several folders share."""

COMMAND_TIMEOUT_S = 700
POLL_S = 0.25

Run = tuple[str, str]
"""The ids of a DAG and of one of its runs."""


@dataclass
class Stack:
    """The running stack."""

    twin: Twin
    client: AirflowClient
    control: Control
    db: Database[dict[str, Any]]

    @property
    def folder(self) -> Path:
        return self.twin.run_dir.path

    # --- runs

    def start(self, dag_id: str, conf: Mapping[str, Any] | None = None, run_id: str | None = None) -> Run:
        return dag_id, self.client.trigger(dag_id, dict(conf or {}), run_id or f"test__{uuid.uuid4().hex[:12]}")

    def finish(self, run: Run, timeout_s: float = 240.0) -> RunView:
        self.finish_all([run], timeout_s)
        return self.view(run)

    def run(self, dag_id: str, conf: Mapping[str, Any] | None = None, timeout_s: float = 240.0) -> RunView:
        return self.finish(self.start(dag_id, conf), timeout_s)

    def finish_all(self, runs: Iterable[Run], timeout_s: float) -> dict[Run, str]:
        """Return the end states of all runs; patient with an API that is away meanwhile."""
        waiting, ended = list(runs), {}
        deadline = time.monotonic() + timeout_s
        while waiting:
            for run in list(waiting):
                state = self.state(run)
                if state in FINISHED_RUN_STATES:
                    ended[run] = state
                    waiting.remove(run)
                else:
                    break  # the others are hardly further, and every question costs the API something
            assert not waiting or time.monotonic() < deadline, (
                f"after {timeout_s} s, {len(waiting)} run(s) on: {waiting}"
            )
            if waiting:
                time.sleep(POLL_S)
        return ended

    def state(self, run: Run) -> str:
        """Return a run's state; `unknown` while nobody can say."""
        try:
            return str(self.client.run(*run)["state"])
        except httpx.HTTPError:
            return "unknown"
        except AirflowApiError as error:
            if error.status < httpx.codes.INTERNAL_SERVER_ERROR:
                raise
            return "unknown"

    def view(self, run: Run) -> RunView:
        instances = self.client.task_instances(*run)
        return RunView(
            self.client,
            *run,
            self.state(run),
            {task["task_id"]: task["state"] for task in instances},
            {task["task_id"]: task["try_number"] for task in instances},
        )

    def tasks(self, run: Run) -> dict[str, dict[str, Any]]:
        """Return the task instances of a run by task id (the last one of a mapped task)."""
        return {task["task_id"]: task for task in self.client.task_instances(*run)}

    # --- processes

    def kill(self, component: str) -> int:
        """SIGKILL a process and all its children, as a lost host does; the supervisor starts it again."""
        killed = kill_owned(self.folder, component)
        assert killed, f"nothing of {component} ran"
        return killed

    def kill_and_hold(self, component: str) -> None:
        """SIGKILL a process and all its children and keep it away."""
        hold(self.folder, component, kill=True)
        self._await_pid(component, there=False)

    def stop(self, component: str) -> None:
        """End a process in order and keep it away."""
        hold(self.folder, component)
        self._await_pid(component, there=False)

    def let_start(self, component: str) -> None:
        """Start a process that was stopped; returns when it has a process, not when it is ready."""
        release(self.folder, component)
        self._await_pid(component, there=True)

    def pid(self, component: str) -> int | None:
        return Status.read(self.twin.run_dir.status_file).components[component]["pid"]

    def processes(self, component: str) -> list[int]:
        return [process.pid for process in owned(self.folder, component)]

    def _await_pid(self, component: str, *, there: bool) -> None:
        eventually(lambda: (self.pid(component) is not None) == there, 120.0, f"{component} there: {there}")


def eventually(condition: Any, timeout_s: float = 60.0, what: str = "") -> Any:
    """Return the first true answer of the condition; fail when there is none in time."""
    deadline = time.monotonic() + timeout_s
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s} s {what}"
        time.sleep(POLL_S)
    return answer


@contextmanager
def running_stack(folder: Path, **more: str) -> Iterator[Stack]:
    """Bring a stack up below `folder`, and down again; nothing of it is left.

    :param more: environment variables besides `SETTINGS`.

    While a test is being written, `STACK_TESTS_ON` names the folder of a stack that runs already, and goes on.
    """
    if running := os.environ.get("STACK_TESTS_ON"):
        with opened(described(RunDir.at(running), os.environ)) as stack:
            yield stack
        return
    run_dir = RunDir.at(folder / "stack")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OVERRIDDEN)}
    variables = {**inherited, **SETTINGS, **more, RUN_DIR_VARIABLE: str(run_dir.path)}

    def command(name: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ops.stack", name],
            env=variables, cwd=REPOSITORY, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False,
        )  # fmt: skip

    try:
        up = command("up")
        assert up.returncode == 0, up.stdout + up.stderr
        with opened(described(run_dir, variables)) as stack:
            yield stack
        removed = command("remove")
        assert removed.returncode == 0, removed.stdout + removed.stderr
    finally:
        kill_owned(run_dir.path)


class OneStack:
    """Starts stacks for the tests, one at a time: the machine has no room for two. It ends with its block."""

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        """Nothing is started yet."""
        self._folders, self._running = folders, ExitStack()
        self._stack: Stack | None = None
        self._settings: dict[str, str] = {}

    def __enter__(self) -> OneStack:
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def set_as(self, settings: Mapping[str, str]) -> Stack:
        """Return the running stack if it is set so; end it and start another one if it is not."""
        if self._stack is None or self._settings != settings:
            self._stack = None
            self._running.close()
            self._settings = dict(settings)
            self._stack = self._running.enter_context(running_stack(self._folders.mktemp("stack"), **settings))
        return self._stack


@contextmanager
def opened(twin: Twin) -> Iterator[Stack]:
    """Connect to everything of a running stack."""
    mongo: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(twin.mongo_uri())
    with (
        AirflowClient(twin.base_url, ADMIN_NAME, twin.admin_password) as client,
        Control(twin.sandbox()["urls"]) as control,
        mongo,
    ):
        yield Stack(twin, client, control, mongo.get_database("trading_ops", codec_options=CodecOptions(tz_aware=True)))


def described(run_dir: RunDir, variables: Mapping[str, str]) -> Twin:
    """Return the running stack as its own processes see it."""
    twin, _ = Twin.describe(run_dir, running=True)
    return Twin(run_dir, twin.ports, twin.secrets, dict(variables))
