"""Copies Airflow's own database into a folder and back, with PostgreSQL's own programs: runs, users, connections.

One dump in the custom format of `pg_dump`, of one moment, and `manifest.json`, which is written last: a folder without
it is no backup. The programs must be of the server's major version: older ones refuse, and what newer ones write and
set is not always known to the server (17 and later set `transaction_timeout`, which 16 does not have).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from ops.backup_files import MANIFEST, BackupError, checksum, compare, read_manifest
from ops.files import write_text

VARIABLE = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
DUMP = "airflow.dump"
CONNECT_TIMEOUT_S = 10
LOCK_TIMEOUT_S = 60

SET_UP = {
    "ab_permission", "ab_permission_view", "ab_permission_view_role", "ab_role", "ab_user", "ab_user_role",
    "ab_view_menu", "alembic_version", "alembic_version_fab", "connection", "log", "log_template", "slot_pool",
}  # fmt: skip
"""What the set-up fills (`ops.distributed_setup`): a database with nothing else, and one user, has only been set up."""

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True)
class Manifest:
    """What a dump holds. `server`: the major version of PostgreSQL that it was made on and with."""

    made_at: str
    database: str
    server: int
    tables: int
    sha256: str

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read the manifest of a dump.

        :raises BackupError: when there is none.
        """
        return cls(**read_manifest(folder))


def airflow_database(environment: Mapping[str, str]) -> URL | None:
    """Return the address of Airflow's database, or None where it is not PostgreSQL (or not named at all).

    :raises BackupError: for an address that nobody can read.
    """
    given = environment.get(VARIABLE, "").strip()
    if not given:
        return None
    try:
        url = make_url(given)
    except ArgumentError:
        raise BackupError(f"{VARIABLE} is no database address like postgresql+psycopg://user:...@host/name") from None
    return url if url.get_backend_name() == "postgresql" else None


def dump(url: URL, folder: Path) -> Manifest:
    """Copy the database into a new folder, which only its owner may read: it holds the hashes of the passwords.

    :raises BackupError: when the folder is there already, the programs are missing or of another version than the
        server, or one of them fails.
    :raises psycopg.Error: when PostgreSQL is away; the folder is not made then.
    """
    with _connect(url) as connection:
        server = _major(connection)
    writer, reader = _program("pg_dump", server), _program("pg_restore", server)
    try:
        folder.mkdir(parents=True, mode=0o700)
    except FileExistsError:
        raise BackupError(f"{folder} exists: a backup never overwrites another") from None
    started, file = datetime.now(UTC), folder / DUMP
    file.touch(mode=0o600)
    options = ("--format=custom", "--no-owner", "--no-privileges", f"--lock-wait-timeout={LOCK_TIMEOUT_S}s")
    _run(url, writer, *options, f"--file={file}", f"--dbname={_address(url)}")
    tables = _run(url, reader, "--list", str(file)).count(" TABLE DATA ")
    manifest = Manifest(started.isoformat(), url.database or "", server, tables, checksum(file))
    write_text(folder / MANIFEST, json.dumps(asdict(manifest), indent=1) + "\n")
    return manifest


def verify(folder: Path) -> Manifest:
    """Return the manifest after comparing the dump with it.

    :raises BackupError: when the dump is missing or differs.
    """
    manifest = Manifest.read(folder)
    compare(folder / DUMP, manifest.sha256)
    return manifest


def check(url: URL, folder: Path, *, replace: bool = False) -> Manifest:
    """Return the manifest of a backup that may be restored here now; nothing is changed.

    :raises BackupError: as :func:`restore`.
    :raises psycopg.Error: when PostgreSQL is away.
    """
    manifest = verify(folder)
    with _connect(url) as connection:
        _program("pg_restore", _major(connection))
        others = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND backend_type = 'client backend'"
        ).fetchone()
        if others and others[0]:
            raise BackupError(
                f"{others[0]} sessions use the database {url.database}: stop every service of Airflow first"
            )
        full = _beyond_set_up(connection)
        if full and not replace:
            raise BackupError(
                f"the database {url.database} is not empty ({', '.join(full[:5])}): restore into an empty one"
            )
    return manifest


def restore(url: URL, folder: Path, *, replace: bool = False) -> Manifest:
    """Make the database what the backup says, after the backup has been verified.

    A restore that breaks off leaves the database empty; it is repeated.

    :param replace: throw away what is in the database.
    :raises BackupError: for a broken backup, programs of another version than the server, a database that is in use
        or holds more than the set-up makes, before anything is changed; or when `pg_restore` fails.
    :raises psycopg.Error: when PostgreSQL is away.
    """
    manifest = check(url, folder, replace=replace)
    with _connect(url) as connection:
        program = _program("pg_restore", _major(connection))
        connection.execute(sql.SQL("SET lock_timeout = {}").format(f"{LOCK_TIMEOUT_S}s"))
        for schema in _schemas(connection):
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))
        connection.execute("CREATE SCHEMA public")
        connection.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")  # as a new database has it
    options = ("--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error")
    _run(url, program, *options, f"--dbname={_address(url)}", str(folder / DUMP))
    with _connect(url) as connection:
        connection.execute("ANALYZE")
    return manifest


def _schemas(connection: Connection) -> list[str]:
    found = connection.execute(
        r"SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg\_%' AND nspname <> 'information_schema'"
    )
    return [str(name) for (name,) in found]


def _beyond_set_up(connection: Connection) -> list[str]:
    """Return the tables whose contents are somebody's work, by name."""
    tables = connection.execute(
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY(%s) ORDER BY 1, 2", (_schemas(connection),)
    ).fetchall()
    full = []
    for schema, name in tables:
        kept = 1 if name == "ab_user" else 0  # the admin
        if name in SET_UP - {"ab_user"}:
            continue
        row = sql.SQL("SELECT 1 FROM {} OFFSET {} LIMIT 1").format(sql.Identifier(schema, name), kept)
        if connection.execute(row).fetchone():
            full.append(str(name))
    return full


def _connect(url: URL) -> Connection:
    return psycopg.connect(_address(url), password=_password(url), connect_timeout=CONNECT_TIMEOUT_S)


def _major(connection: Connection) -> int:
    return connection.info.server_version // 10_000


def _program(name: str, server: int) -> str:
    found = shutil.which(name)
    if found is None:
        raise BackupError(f"no {name} on the PATH: install PostgreSQL's client programs of version {server}")
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r" (\d+)", said)
    if version is None or int(version[1]) != server:
        raise BackupError(
            f"{found} is {said.strip() or 'of no version'}, the server is PostgreSQL {server}: put the client programs "
            f"of version {server} first on the PATH"
        )
    return found


def _run(url: URL, program: str, *arguments: str) -> str:
    """Run one of the programs; the password reaches it through its environment, which others cannot read."""
    password = _password(url)
    secret = {} if password is None else {"PGPASSWORD": password}
    limits = {"PGCONNECT_TIMEOUT": str(CONNECT_TIMEOUT_S)}
    answer = subprocess.run(
        [program, "--no-password", *arguments],
        env={**os.environ, **limits, **secret}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if answer.returncode:
        raise BackupError(f"{program} ended with code {answer.returncode}: {answer.stderr.strip()[-1000:]}")
    return answer.stdout


def _address(url: URL) -> str:
    options = {name: _text(value) for name, value in url.query.items() if name != "password"}
    known = {"host": url.host, "port": url.port, "user": url.username, "dbname": url.database}
    return make_conninfo("", **{**options, **{name: value for name, value in known.items() if value is not None}})


def _password(url: URL) -> str | None:
    given = url.password if url.password is not None else url.query.get("password")
    return None if given is None else _text(given)


def _text(value: Any) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)
