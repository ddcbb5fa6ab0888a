"""The environment of these tests as a user meets it: up, logged in, a crash, down, nothing left, up again as shipped.

The last file of the folder: when it is through, nothing runs any more.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from ops.client import AirflowApiError, AirflowClient
from ops.environment import Environment
from ops.ports import is_free
from ops.processes import owned
from ops.report import dag_files
from ops.run_dir import REPOSITORY, RunDir
from ops.status import State, Status
from tests.chain.conftest import OVERRIDDEN, SETTINGS, Bundle, eventually

pytestmark = pytest.mark.slow


NEEDED = {name: SETTINGS[name] for name in ("TRADING_OPS_MIN_FREE_DISK_GB", "TRADING_OPS_TRAININGS_PER_USER_PER_DAY")}
"""Without them a training is refused on a small disk, and because of those that were started before."""
SHORT_TRAINING = {"model_type": "gru", "symbol": "ADAUSDT", "days_of_data": 7, "epochs": 1}


def command(name: str, run_dir: RunDir) -> subprocess.CompletedProcess[str]:
    """Run a command of the embedded mode as it is shipped, with schedules and all, on these tests' environment."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OVERRIDDEN)}
    return subprocess.run(
        [sys.executable, "-m", "ops.embedded", name],
        env={**inherited, **NEEDED, "TRADING_OPS_RUN_DIR": str(run_dir.path), "TRADING_OPS_ENV_FILE": os.devnull},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


@dataclass
class Running:
    """An environment that `up` has started, and the password that it printed."""

    run_dir: RunDir
    environment: Environment
    password: str

    @property
    def status(self) -> Status:
        return Status.read(self.run_dir.status_file)

    def client(self, user: str = "admin", password: str | None = None) -> AirflowClient:
        return AirflowClient(self.environment.base_url, user, password or self.password)


@pytest.fixture(scope="module")
def running(environment: Bundle) -> Running:
    password = re.search(r"password +(\S+)", environment.printed)
    assert password, environment.printed
    # While its server is there to hear it: later, closing would wait half a minute for the server.
    environment.db.client.close()
    return Running(environment.run_dir, Environment.prepare(environment.run_dir, running=True)[0], password[1])


def test_all_components_are_healthy_and_listen_on_loopback_only(running: Running) -> None:
    with running.client() as client:
        assert set(client.health().values()) == {"healthy"}
    listening = [
        connection.laddr
        for process in owned(running.run_dir.path)
        for connection in process.net_connections(kind="tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert {address.ip for address in listening} == {"127.0.0.1"}
    assert {running.environment.ports[name] for name in ("api", "mongod", "binance")} <= {a.port for a in listening}


def test_only_the_printed_password_opens(running: Running) -> None:
    with running.client() as client:
        assert client.login()
    with running.client(password="guessed") as client, pytest.raises(AirflowApiError) as refused:
        client.login()
    assert refused.value.status == 401
    with running.client() as client:
        assert client._http.get("/api/v2/dags").status_code == 401


def test_roles_pools_and_connections_are_there(running: Running) -> None:
    with running.client() as client:
        roles = {role["name"] for role in client.request("GET", "/auth/fab/v1/roles")["roles"]}
        pools = {pool["name"]: pool["slots"] for pool in client.request("GET", "/api/v2/pools")["pools"]}
        connections = {c["connection_id"]: c for c in client.request("GET", "/api/v2/connections")["connections"]}
    assert {"Viewer", "Trader", "MLAdmin", "RiskOfficer", "Admin"} <= roles
    assert pools == running.environment.sizes.pools
    assert connections["slack_default"]["conn_type"] == "slackwebhook"
    assert connections["mongo_default"]["port"] == running.environment.ports["mongod"]


def test_every_dag_file_is_parsed_without_error_and_its_dags_are_not_paused(running: Running) -> None:
    with running.client() as client:
        dags = client.dags()
        assert client.import_errors() == []
    assert {dag["relative_fileloc"] for dag in dags} == dag_files()
    assert [dag["dag_id"] for dag in dags if dag["is_paused"]] == []


def client_of_new_user(running: Running, name: str, role: str) -> AirflowClient:
    user = {
        "username": name,
        "password": "pw",
        "first_name": name,
        "last_name": "T",
        "email": f"{name}@example.invalid",
    }
    with running.client() as admin:
        admin.request("POST", "/auth/fab/v1/users", json={**user, "roles": [{"name": role}]})
    return running.client(name, "pw")


def rights(running: Running, role: str) -> list[dict[str, Any]]:
    with running.client() as admin:
        return list(admin.request("GET", f"/auth/fab/v1/roles/{role}")["actions"])


def test_a_trader_sees_the_dags_that_name_him_and_manages_nothing(running: Running) -> None:
    named = {right["resource"]["name"].removeprefix("DAG:") for right in rights(running, "Trader")}
    with running.client() as admin, client_of_new_user(running, "tom", "Trader") as trader:
        assert {dag["dag_id"] for dag in trader.dags()} == {dag["dag_id"] for dag in admin.dags()} & named
        for path in ("/api/v2/connections", "/api/v2/variables", "/api/v2/config", "/auth/fab/v1/users"):
            with pytest.raises(AirflowApiError) as refused:
                trader.request("GET", path)
            assert refused.value.status == 403


def test_global_rights_open_no_dag_by_themselves(running: Running) -> None:
    per_dag = ("DAG:", "DAG Run:")
    general = [right for right in rights(running, "MLAdmin") if not right["resource"]["name"].startswith(per_dag)]
    assert {"action": {"name": "can_edit"}, "resource": {"name": "DAG Runs"}} in general
    with running.client() as admin:
        admin.request("POST", "/auth/fab/v1/roles", json={"name": "Unnamed", "actions": general})
        dag_id = admin.dags()[0]["dag_id"]
    with client_of_new_user(running, "una", "Unnamed") as unnamed:
        with pytest.raises(AirflowApiError) as refused:
            unnamed.trigger(dag_id)
        assert refused.value.status == 403
        for path in (f"/api/v2/dags/{dag_id}", f"/api/v2/dags/{dag_id}/dagRuns", "/api/v2/dags"):
            with pytest.raises(AirflowApiError) as refused:
                unnamed.request("GET", path)
            assert refused.value.status == 403


def test_a_second_up_says_that_it_runs_already(running: Running) -> None:
    answer = command("up", running.run_dir)
    assert answer.returncode == 0
    assert "Already running" in answer.stdout
    assert running.password not in answer.stdout


@pytest.fixture(scope="module")
def killed(running: Running) -> int:
    """The process id of a triggerer that was killed and has been started again."""
    victim = int(running.status.components["triggerer"]["pid"])
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: running.status.components["triggerer"]["restarts"] == 1, timeout_s=60)
    return victim


def test_a_killed_component_is_reported_and_comes_back(running: Running, killed: int) -> None:
    (crash,) = running.status.crashes
    assert (crash.component, crash.exit_code) == ("triggerer", -9)
    assert running.status.components["triggerer"]["pid"] != killed
    for name in ("status", "up"):
        assert "triggerer ended by itself" in command(name, running.run_dir).stdout


@pytest.mark.long
@pytest.mark.usefixtures("killed")
def test_down_leaves_nothing_and_a_new_start_keeps_what_was_there_and_trains(running: Running) -> None:
    answer = command("down", running.run_dir)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "triggerer ended by itself" in answer.stdout
    assert owned(running.run_dir.path) == []
    assert [name for name, port in running.environment.ports.items() if not is_free(port)] == []
    files = [file.name for file in running.run_dir.path.rglob("*") if file.suffix in (".pid", ".lock", ".sock")]
    assert set(files) <= {"mongod.lock", "WiredTiger.lock"}  # kept by MongoDB, empty after a clean end
    assert (running.run_dir.mongo / "data" / "mongod.lock").stat().st_size == 0
    assert not running.run_dir.lock_file.exists()
    assert running.status.state is State.STOPPED

    again = command("up", running.run_dir)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "password" not in again.stdout
    assert "triggerer ended by itself" in again.stdout  # the crash before the end is told once more
    assert running.status.crashes == []
    with running.client() as client:
        assert client.login()
        assert set(client.health().values()) == {"healthy"}
        run_id = client.trigger("train_model", SHORT_TRAINING)
        assert client.wait("train_model", run_id, timeout_s=240) == "success"
    assert command("down", running.run_dir).returncode == 0
    assert owned(running.run_dir.path) == []


def test_the_secrets_appear_in_no_log(running: Running) -> None:
    secrets = list(running.environment.secrets.values())
    logs = [file for folder in (running.run_dir.logs, running.run_dir.airflow_home / "logs") for file in _files(folder)]
    assert len(logs) > 5
    assert not [file for file in logs for secret in secrets if secret in file.read_text(errors="replace")]


def _files(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file() and not file.is_symlink()]
