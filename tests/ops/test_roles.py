"""config/roles.json names what FAB knows, and gives nobody more than the table in config/README.md says."""

from __future__ import annotations

import json

import pytest
from airflow.providers.fab.www.security import permissions

from ops.airflow_setup import Rights, rights_of
from ops.components import ROLES_FILE

OURS = {"Trader", "MLAdmin", "RiskOfficer"}


@pytest.fixture(scope="module")
def rights() -> Rights:
    return rights_of(json.loads(ROLES_FILE.read_text()))


def test_the_five_roles_are_there_and_the_built_in_ones_stay_as_airflow_ships_them(rights: Rights) -> None:
    assert set(rights) == {"Viewer", "Admin", *OURS}
    assert rights["Viewer"] == rights["Admin"] == set()


def test_every_resource_and_action_is_known_to_fab(rights: Rights) -> None:
    resources = {
        value for name, value in vars(permissions).items() if name.startswith("RESOURCE_") and isinstance(value, str)
    }
    actions = {value for name, value in vars(permissions).items() if name.startswith("ACTION_")}
    named = set().union(*rights.values())
    assert {resource for resource, _ in named} <= resources
    assert {action for _, action in named} <= actions


@pytest.mark.parametrize("role", sorted(OURS))
def test_no_role_reaches_every_dag(rights: Rights, role: str) -> None:
    forbidden = {("DAGs", "can_read"), ("DAGs", "can_edit"), ("DAGs", "can_delete"), ("DAG Runs", "can_create")}
    assert rights[role] & forbidden == set()


@pytest.mark.parametrize("role", sorted(OURS))
def test_no_role_manages_users_connections_or_settings(rights: Rights, role: str) -> None:
    managed = {"Users", "Roles", "Permissions", "Passwords", "Connections", "Variables", "Configurations"}
    assert {resource for resource, _ in rights[role]} & managed == set()


@pytest.mark.parametrize("role", sorted(OURS))
def test_every_role_reads_runs_progress_and_results_of_its_dags(rights: Rights, role: str) -> None:
    needed = {"DAG Runs", "Task Instances", "Task Logs", "XComs", "HITL Detail", "DAG Dependencies", "Website"}
    assert {(resource, "can_read") for resource in needed} <= rights[role]


def test_who_may_cancel_and_who_may_approve(rights: Rights) -> None:
    def holders(right: tuple[str, str]) -> set[str]:
        return {role for role in OURS if right in rights[role]}

    assert holders(("DAG Runs", "can_edit")) == {"MLAdmin", "RiskOfficer"}
    assert holders(("HITL Detail", "can_edit")) == {"RiskOfficer"}
