"""Brings Airflow's database to what this environment needs: tables, roles, admin, pools, connections.

Each step is a command of Airflow's own CLI, but all of them run in this one process: importing Airflow costs
more than any of them. The plan arrives as JSON on standard input, because it holds a password.

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


def sync_roles(cli: Cli, wanted_file: Path, folder: Path) -> None:
    """Make the roles of the file exist with exactly the rights of the file.

    `airflow roles import` does not do: it leaves existing roles as they are, so that rights added or taken away
    since the environment was made would never arrive, and it builds FAB's application anew for every line, which
    takes some ten seconds. Airflow's built-in roles have no rights in the file and stay as they are.
    """
    wanted = {name: rights for name, rights in rights_of(json.loads(wanted_file.read_text())).items() if rights}
    cli("roles", "create", *wanted)
    exported = folder / "roles.json"
    cli("roles", "export", str(exported))
    existing = rights_of(json.loads(exported.read_text()))
    missing = {name: rights - existing[name] for name, rights in wanted.items()}
    surplus = {name: existing[name] - rights - {GRANTED_TO_ALL} for name, rights in wanted.items()}
    for command, changes in (("add-perms", missing), ("del-perms", surplus)):
        for roles, resources, action in grouped(changes):
            cli("roles", command, *roles, "--resource", *resources, "--action", action)


def grouped(changes: Rights) -> list[tuple[tuple[str, ...], list[str], str]]:
    """Return the same rights as few (roles, resources, action), each meaning every role with every resource."""
    holders: dict[tuple[str, str], list[str]] = defaultdict(list)
    for role in sorted(changes):
        for right in changes[role]:
            holders[right].append(role)
    groups: dict[tuple[tuple[str, ...], str], list[str]] = defaultdict(list)
    for (resource, action), roles in sorted(holders.items()):
        groups[tuple(roles), action].append(resource)
    return [(roles, resources, action) for (roles, action), resources in groups.items()]


def set_up(plan: dict[str, Any], folder: Path) -> None:
    """Carry out the plan; every step may be repeated.

    :param plan: `roles_file`, `pools`, `connections`, `admin` (name, password), and `database` where that is a file
        of SQLite.
    :param folder: for the files that Airflow's import commands read.
    """
    database = plan.get("database")
    is_new = database is not None and not Path(database).exists()
    cli = airflow_cli()
    cli("db", "migrate")
    if database is not None:
        # Readers and the one writer of SQLite stop blocking each other. The setting stays in the file.
        with sqlite3.connect(database, timeout=60) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    sync_roles(cli, Path(plan["roles_file"]), folder)
    admin, password = plan["admin"]["name"], plan["admin"]["password"]
    names = ("--firstname", "Trading", "--lastname", "Ops", "--email", "admin@example.invalid")
    secret = f"--password={password}"  # one argument: a password may begin with a dash
    cli("users", "create", "--username", admin, "--role", "Admin", secret, *names)
    if not is_new:
        cli("users", "reset-password", "--username", admin, secret)
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
