"""Brings Airflow's database to what this environment needs: tables, roles, admin, pools, connections.

Tables, pools and connections are made by commands of Airflow's own CLI, roles and the admin through FAB's security
manager as its commands do it; all in this one process, since importing Airflow and building FAB's application cost more
than any of it. The plan arrives as JSON on standard input, because it holds a password.

    python -m ops.airflow_setup < plan.json
"""

from __future__ import annotations

import json
import sqlite3
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

PER_DAG_PREFIXES = ("DAG:", "DAG Run:")  # rights that DAGs grant themselves through access_control
GRANTED_TO_ALL = ("Website", "can_read")  # FAB gives it to every role of its own accord

Rights = dict[str, set[tuple[str, str]]]
Cli = Callable[..., None]


def airflow_cli() -> Cli:
    """Return a function that runs one Airflow command in this process."""
    from airflow.cli.cli_parser import get_parser

    parser = get_parser()

    def run(*arguments: str) -> None:
        parsed = parser.parse_args(arguments)
        parsed.func(parsed)

    return run


def rights_of(entries: list[dict[str, str]]) -> Rights:
    """Return the rights of each role in the form of `airflow roles export`, those that only a DAG grants left out."""
    rights: Rights = defaultdict(set)
    for entry in entries:
        rights[entry["name"]]  # a role without rights is a role
        if entry["resource"] and not entry["resource"].startswith(PER_DAG_PREFIXES):
            rights[entry["name"]] |= {(entry["resource"], action) for action in entry["action"].split(",")}
    return rights


def sync_people(wanted: Rights, admin: str, password: str) -> None:
    """Make the roles exist with exactly these rights, and the admin with this password.

    `airflow roles import` does not do: it leaves existing roles as they are, so that rights added or taken away since
    the environment was made would never arrive. The commands that do it one by one each build FAB's application anew,
    which takes longer than all the rest; here it is built once. Airflow's built-in roles have no rights in the file
    and stay as they are.

    :raises RuntimeError: when a right names what FAB does not know, or FAB did not do what it was told.
    """
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

    with get_application_builder() as builder:
        for name, rights in wanted.items():
            if rights:
                _sync_role(builder.sm, name, rights)
        _sync_admin(builder.sm, admin, password)


def _general(role: Any) -> dict[tuple[str, str], Any]:
    """Return a role's rights but those that a DAG gives it."""
    return {
        (permission.resource.name, permission.action.name): permission
        for permission in role.permissions
        if not permission.resource.name.startswith(PER_DAG_PREFIXES)
    }


def _sync_role(manager: Any, name: str, wanted: set[tuple[str, str]]) -> None:
    role = manager.find_role(name) or manager.add_role(name)
    existing = _general(role)
    for resource, action in sorted(wanted - existing.keys()):
        # FAB would make what is misspelled.
        if manager.get_resource(resource) is None or manager.get_action(action) is None:
            raise RuntimeError(f"The role {name} has the right {action} on {resource!r}, which FAB does not know")
        manager.add_permission_to_role(role, manager.create_permission(action, resource))
    for right in sorted(existing.keys() - wanted - {GRANTED_TO_ALL}):
        manager.remove_permission_from_role(role, existing[right])
    manager.session.refresh(role)
    if wrong := (_general(role).keys() ^ wanted) - {GRANTED_TO_ALL}:  # FAB logs what fails and goes on
        raise RuntimeError(f"FAB did not give and take all rights of the role {name}: {sorted(wrong)} differ")


def _sync_admin(manager: Any, name: str, password: str) -> None:
    from werkzeug.security import check_password_hash

    user = manager.find_user(name)
    if user is None:
        role = manager.find_role("Admin")
        if not manager.add_user(name, "Trading", "Ops", "admin@example.invalid", role, password):
            raise RuntimeError(f"FAB did not make the user {name}; its reason is in the lines above")
    # A new password ends the user's sessions, which the same one need not.
    elif not check_password_hash(user.password or "", password) and not manager.reset_password(user.id, password):
        raise RuntimeError(f"FAB did not change the password of {name}; its reason is in the lines above")


def set_up(plan: dict[str, Any], folder: Path) -> None:
    """Carry out the plan; every step may be repeated.

    :param plan: `roles_file`, `pools`, `connections`, `admin` (name, password), and `database` where that is a file
        of SQLite.
    :param folder: for the files that Airflow's import commands read.
    """
    database = plan.get("database")
    cli = airflow_cli()
    cli("db", "migrate")
    if database is not None:
        # Readers and the one writer of SQLite stop blocking each other. The setting stays in the file.
        with sqlite3.connect(database, timeout=60) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    roles = rights_of(json.loads(Path(plan["roles_file"]).read_text()))
    sync_people(roles, plan["admin"]["name"], plan["admin"]["password"])
    for kind, options in (("pools", ()), ("connections", ("--overwrite",))):
        file = folder / f"{kind}.json"
        file.write_text(json.dumps(plan[kind]))
        cli(kind, "import", *options, str(file))


def main() -> None:
    """Read the plan from standard input and carry it out."""
    plan = json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as folder:
        set_up(plan, Path(folder))


if __name__ == "__main__":
    main()
