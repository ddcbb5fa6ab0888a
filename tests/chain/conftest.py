"""One real environment for the tests of the chain: Airflow's scheduler and API, mongod, the sandbox.

Trainings are short here (two epochs of the real networks), retries come at once, and tasks find the libraries that they
use imported already (`inside/`); everything else is as shipped.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pymongo
import pytest
from bson.codec_options import CodecOptions
from pydantic import SecretStr
from pymongo.database import Database

from include.settings import Settings
from include.store import collections
from ops.client import FINISHED_RUN_STATES, AirflowApiError, AirflowClient
from ops.environment import ADMIN_NAME, Environment
from ops.processes import kill_owned
from ops.run_dir import REPOSITORY, RunDir
from sandbox.control import Control

SETTINGS = {
    "TRADING_OPS_ENV_FILE": os.devnull,
    "TRADING_OPS_SYMBOLS": "BTCUSDT",
    "TRADING_OPS_RETRY_DELAYS_S": "0.2",
    "TRADING_OPS_INFRA_RETRY_DELAY_S": "0.5",
    "TRADING_OPS_RETRAIN_EPOCHS": "2",
    "TRADING_OPS_RETRAIN_DAYS": "30",
    "TRADING_OPS_MIN_COMPARISON_BARS": "100",
    "TRADING_OPS_MIN_FREE_DISK_GB": "1",
    "TRADING_OPS_TRAININGS_PER_USER_PER_DAY": "200",
    "TRADING_OPS_OPENAI_TIMEOUT_S": "2",
    # No schedule: the tests start what they need, and nothing else takes the machine or sends messages.
    "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
    "TRADING_OPS_BLUNT_LEVER": "both_directions",
    "CUDA_VISIBLE_DEVICES": "",
    # A run of ten tasks waits ten times for the scheduler to look. Shorter still, and looking takes the processors.
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.25",
    # No DAG file changes here: parse each of them once.
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "86400",
    # NumPy would start threads in the scheduler, which forks (`inside/preloaded.py`).
    "OPENBLAS_NUM_THREADS": "1",
}
OVERRIDDEN = ("TRADING_OPS_", "AIRFLOW", "OPENAI_")
INSIDE = Path(__file__).resolve().parent / "inside"
"""Where Airflow's processes find a `sitecustomize.py`."""
RUN_TIMEOUT_S = 240.0
POLL_S = 0.2
"""Between two questions; most of them are answered by Airflow's API, whose work the tests would otherwise wait for."""
PATIENCE = 0.05
"""For the end of what may take long: the pause grows to this share of the time that was waited already,"""
LONGEST_POLL_S = 1.0
"""and no further than to this."""


@dataclass
class RunView:
    """A finished run: its state and its tasks' states."""

    client: AirflowClient
    dag_id: str
    run_id: str
    state: str
    tasks: dict[str, str]
    tries: dict[str, int]

    def xcom(self, task_id: str, key: str = "return_value") -> Any:
        return self.client.xcom(self.dag_id, self.run_id, task_id, key)

    @property
    def story(self) -> str:
        """What a failed assertion should show: the tasks' states and the end of each failed task's log."""
        lines = [f"{self.dag_id} {self.run_id}: {self.state}", str(self.tasks)]
        for task_id, state in self.tasks.items():
            if state == "failed":
                log = self.client.logs(self.dag_id, self.run_id, task_id, self.tries[task_id])
                lines.append(f"--- {task_id}\n{log[-3000:]}")
        return "\n".join(lines)

    def ended(self, *task_ids: str) -> set[str]:
        return {self.tasks[task_id] for task_id in task_ids}


def disk_full_marker(run_dir: RunDir) -> Path:
    return run_dir.path.parent / "disk_full"


@dataclass
class Bundle:
    """The running environment as a test uses it; `printed` is what `up` said."""

    run_dir: RunDir
    client: AirflowClient
    control: Control
    db: Database[dict[str, Any]]
    settings: Settings
    printed: str
    state_dir: Path = field(init=False)

    def __post_init__(self) -> None:
        self.state_dir = self.run_dir.state

    @property
    def disk_full_marker(self) -> Path:
        """While this file exists, Airflow's processes find the disk full."""
        return disk_full_marker(self.run_dir)

    def run_id(self) -> str:
        return f"test__{uuid.uuid4().hex[:10]}"

    def start(self, dag_id: str, conf: dict[str, Any] | None = None, run_id: str | None = None) -> str:
        return self.client.trigger(dag_id, conf or {}, run_id=run_id or self.run_id())

    def finish(self, dag_id: str, run_id: str, timeout_s: float = RUN_TIMEOUT_S) -> RunView:
        state = eventually(lambda: self._end_state(dag_id, run_id), timeout_s, PATIENCE)
        instances = self.client.task_instances(dag_id, run_id)
        return RunView(
            self.client,
            dag_id,
            run_id,
            state,
            {task["task_id"]: task["state"] for task in instances},
            {task["task_id"]: task["try_number"] for task in instances},
        )

    def _end_state(self, dag_id: str, run_id: str) -> str | None:
        state = str(self.client.run(dag_id, run_id)["state"])
        return state if state in FINISHED_RUN_STATES else None

    def run(self, dag_id: str, conf: dict[str, Any] | None = None, run_id: str | None = None) -> RunView:
        return self.finish(dag_id, self.start(dag_id, conf, run_id))

    def exists(self, dag_id: str, run_id: str) -> bool:
        try:
            self.client.run(dag_id, run_id)
        except AirflowApiError as error:
            if error.status == httpx.codes.NOT_FOUND:
                return False
            raise
        return True

    def messages(self, run_id: str) -> list[dict[str, Any]]:
        """Return the outbox's messages that belong to a run."""
        return [message for message in self.db[collections.OUTBOX].find() if run_id in message["dedupe_key"]]


def eventually(condition: Callable[[], Any], timeout_s: float = 60.0, patience: float = 0.0) -> Any:
    """Return the first true answer of the condition; fail when there is none in time.

    :param patience: share of the time waited so far that may pass until the next question (`PATIENCE`).
    """
    began = time.monotonic()
    while not (answer := condition()):
        waited = time.monotonic() - began
        assert waited < timeout_s, f"not within {timeout_s} s"
        time.sleep(max(POLL_S, min(patience * waited, LONGEST_POLL_S)))
    return answer


@contextmanager
def running_bundle(folder: Path, **more: str) -> Iterator[Bundle]:
    """Bring an environment up below `folder`, and down again; nothing of it is left.

    :param more: environment variables besides `SETTINGS`.
    """
    run_dir = RunDir(folder / "run")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OVERRIDDEN)}
    variables = {
        **inherited,
        **SETTINGS,
        **more,
        "TRADING_OPS_RUN_DIR": str(run_dir.path),
        "PYTHONPATH": str(INSIDE),
        "CHAIN_FAULT_DISK_FULL": str(disk_full_marker(run_dir)),
    }

    def command(name: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ops.embedded", name],
            env=variables, cwd=REPOSITORY, capture_output=True, text=True, timeout=400, check=False,
        )  # fmt: skip

    try:
        up = command("up")
        assert up.returncode == 0, up.stdout + up.stderr
        described, _ = Environment.prepare(run_dir, running=True)
        mongo: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(described.mongo_uri)
        with (
            AirflowClient(described.base_url, ADMIN_NAME, described.secrets["TRADING_OPS_ADMIN_PASSWORD"]) as client,
            Control(described.sandbox()["urls"]) as control,
            mongo,
        ):
            yield Bundle(
                run_dir,
                client,
                control,
                mongo.get_database("trading_ops", codec_options=CodecOptions(tz_aware=True)),
                Settings(model_encryption_key=SecretStr(described.secrets["TRADING_OPS_MODEL_ENCRYPTION_KEY"])),
                up.stdout,
            )
        down = command("down")
        assert down.returncode == 0, down.stdout + down.stderr
    finally:
        kill_owned(run_dir.path)


@pytest.fixture(scope="package")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundle]:
    """One environment for all the chain's tests; it ends with them, since a waiting Airflow takes a tenth of a core."""
    with running_bundle(tmp_path_factory.mktemp("chain"), CHAIN_PRELOADED_TOO="tensorflow,keras") as running:
        yield running


@pytest.fixture
def bundle(environment: Bundle) -> Bundle:
    """The environment, with the sandbox back to normal and an empty ledger and history."""
    environment.control.reset()
    for name in (
        collections.GPT4_BUDGET,
        collections.GPT4_COSTS,
        collections.GPT4_ANALYSIS_HISTORY,
        collections.MODEL_SCORES,
        collections.GPT4_SWITCH,
        collections.OUTBOX_CHANNELS,
    ):
        environment.db[name].delete_many({})
    return environment
