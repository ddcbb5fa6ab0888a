"""Airflow's database after the set-up holds what the plan says, also when the plan has changed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ops.airflow_setup import rights_of
from ops.environment import Environment
from ops.run_dir import REPOSITORY, RunDir


def test_rights_that_only_a_dag_grants_do_not_count() -> None:
    entries = [
        {"name": "Trader", "resource": "DAG:train_model", "action": "can_read"},
        {"name": "Trader", "resource": "DAG Run:train_model", "action": "can_create"},
        {"name": "Trader", "resource": "DAG Runs", "action": "can_read,menu_access"},
        {"name": "Viewer", "resource": "", "action": ""},
    ]
    assert rights_of(entries) == {"Trader": {("DAG Runs", "can_read"), ("DAG Runs", "menu_access")}, "Viewer": set()}


REPEATED = """
import json, sys
from pathlib import Path
from ops.airflow_setup import airflow_cli, set_up
first, second, misspelled, folder = json.load(sys.stdin)
from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
from werkzeug.security import check_password_hash


def admin():
    with get_application_builder() as builder:
        user = builder.sm.find_user("admin")
        return user.password, [role.name for role in user.roles]


set_up(first, Path(folder))
hashes = [admin()[0]]
set_up(first, Path(folder))
hashes.append(admin()[0])
set_up(second, Path(folder))
airflow_cli()("roles", "export", folder + "/after.json")
airflow_cli()("pools", "export", folder + "/pools_after.json")
airflow_cli()("connections", "export", folder + "/connections_after.json")
password, roles = admin()
opens = [word for word in ("-first password", "-second password") if check_password_hash(password, word)]
try:
    set_up(misspelled, Path(folder))
    refused = ""
except RuntimeError as error:
    refused = str(error)
print(json.dumps({"kept": hashes[0] == hashes[1], "opens": opens, "roles": roles, "refused": refused}))
"""


@pytest.mark.slow
def test_a_changed_plan_arrives_in_an_existing_database(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path / "run")
    run_dir.create()
    environment, _ = Environment.prepare(run_dir)
    entry = {"name": "Trader", "resource": "DAG Runs", "action": "can_read,can_edit"}

    def plan(password: str, slots: int, port: int, roles: list[dict[str, str]]) -> dict[str, object]:
        file = tmp_path / f"roles_{slots}.json"
        file.write_text(json.dumps([{"name": "Viewer", "resource": "", "action": ""}, *roles]))
        return {
            "database": str(run_dir.database),
            "roles_file": str(file),
            "pools": {"cpu_training": {"slots": slots, "description": "d", "include_deferred": False}},
            "connections": {"mongo_default": {"conn_type": "mongo", "host": "127.0.0.1", "port": port}},
            "admin": {"name": "admin", "password": password},
        }

    first = plan("-first password", 1, 1111, [entry])
    second = plan(
        "-second password",
        2,
        2222,
        [
            {**entry, "action": "can_read"},
            {"name": "Trader", "resource": "XComs", "action": "can_read"},
            {"name": "RiskOfficer", "resource": "HITL Detail", "action": "can_edit"},
        ],
    )
    misspelled = plan("-second password", 3, 2222, [{**entry, "resource": "DAG Run"}])
    answer = subprocess.run(
        [sys.executable, "-c", REPEATED],
        input=json.dumps([first, second, misspelled, str(tmp_path)]),
        env={**environment.variables("setup"), "AIRFLOW_CONN_MONGO_DEFAULT": ""},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout.splitlines()[-1]) == {
        "kept": True,
        "opens": ["-second password"],
        "roles": ["Admin"],
        "refused": "The role Trader has the right can_edit on 'DAG Run', which FAB does not know",
    }
    rights = rights_of(json.loads((tmp_path / "after.json").read_text()))
    assert rights["Trader"] - {("Website", "can_read")} == {("DAG Runs", "can_read"), ("XComs", "can_read")}
    assert rights["RiskOfficer"] - {("Website", "can_read")} == {("HITL Detail", "can_edit")}
    pools = json.loads((tmp_path / "pools_after.json").read_text())
    assert pools["cpu_training"]["slots"] == 2
    assert "2222" in (tmp_path / "connections_after.json").read_text()
