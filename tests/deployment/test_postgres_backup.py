"""Airflow's database as a dump and back, on real servers: what comes back, what is refused, where the password is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import NullPool

from ops.mongo_backup import BackupError
from ops.postgres_backup import DUMP, MANIFEST, VARIABLE, airflow_database, check, dump, restore, verify
from sandbox.mongod import free_port
from sandbox.postgres import Postgres, find_postgres, start_postgres

PASSWORD = "p@ss:/%word"
SOURCE, TARGET = "source", "target"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    running = start_postgres(tmp_path_factory.mktemp("postgres"), password=PASSWORD)
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{find_postgres()}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def source(server: Postgres) -> URL:
    return made(server, SOURCE)


@pytest.fixture
def target(server: Postgres) -> URL:
    return made(server, TARGET)


def made(server: Postgres, name: str) -> URL:
    url = make_url(server.url)
    with psycopg.connect(
        host=url.host, port=url.port, user=url.username, password=PASSWORD, dbname="postgres", autocommit=True
    ) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        connection.execute(f"CREATE DATABASE {name}".encode())
    return url.set(database=name)


def ask(url: URL, *statements: str) -> list[tuple[Any, ...]]:
    """Run the statements, and return the rows of the last one."""
    with create_engine(url, poolclass=NullPool).begin() as session:
        for statement in statements:
            answer = session.execute(text(statement))
        return [tuple(row) for row in answer] if answer.returns_rows else []


def fill(url: URL) -> None:
    ask(
        url,
        "CREATE TYPE state AS ENUM ('success', 'failed')",
        "CREATE TABLE dag_run (id serial PRIMARY KEY, run_id text UNIQUE, state state, conf jsonb, at timestamptz)",
        "CREATE TABLE task_instance (run_id text REFERENCES dag_run (run_id) ON DELETE CASCADE, value bytea)",
        """INSERT INTO dag_run (run_id, state, conf, at) SELECT 'run ' || n, 'success', '{"symbol": "BTCUSDT"}', now()
           FROM generate_series(1, 500) n""",
        "INSERT INTO task_instance SELECT run_id, decode('00ff0a', 'hex') FROM dag_run",
    )


RUNS = "SELECT d.*, t.value FROM dag_run d JOIN task_instance t USING (run_id) ORDER BY id"


def test_what_was_there_comes_back_with_its_types_keys_and_counters(source: URL, target: URL, tmp_path: Path) -> None:
    fill(source)
    manifest = dump(source, tmp_path / "a")
    assert (manifest.tables, manifest.database) == (2, SOURCE)
    assert verify(tmp_path / "a") == manifest
    restore(target, tmp_path / "a")
    assert ask(target, RUNS) == ask(source, RUNS)
    ((number,),) = ask(target, "INSERT INTO dag_run (run_id) VALUES ('next') RETURNING id")
    assert number == 501
    with pytest.raises(Exception, match="foreign key"):
        ask(target, "INSERT INTO task_instance VALUES ('of no run', NULL)")


def test_a_restored_database_can_be_backed_up_and_restored_again(source: URL, target: URL, tmp_path: Path) -> None:
    fill(source)
    before = ask(source, RUNS)
    for number in range(2):
        dump(source, tmp_path / str(number))
        restore(source, tmp_path / str(number), replace=True)
    restore(target, tmp_path / "1")
    assert ask(target, RUNS) == ask(source, RUNS) == before


def test_a_backup_is_of_one_moment_and_for_its_owner_alone(source: URL, target: URL, tmp_path: Path) -> None:
    fill(source)
    dump(source, tmp_path / "a")
    ask(source, "INSERT INTO dag_run (run_id) VALUES ('later')")
    restore(target, tmp_path / "a")
    assert ask(target, "SELECT count(*) FROM dag_run") == [(500,)]
    assert not (tmp_path / "a").stat().st_mode & 0o077
    assert not (tmp_path / "a" / DUMP).stat().st_mode & 0o077


# --- what is refused, and changes nothing


def test_a_database_that_holds_something_is_left_alone_unless_told_otherwise(
    source: URL, target: URL, tmp_path: Path
) -> None:
    fill(source)
    dump(source, tmp_path / "a")
    ask(target, "CREATE SCHEMA other", "CREATE TABLE other.precious AS SELECT 1 AS one")
    with pytest.raises(BackupError, match=r"target is not empty \(precious\)"):
        restore(target, tmp_path / "a")
    assert ask(target, "SELECT * FROM other.precious") == [(1,)]
    restore(target, tmp_path / "a", replace=True)
    assert ask(target, "SELECT count(*) FROM dag_run") == [(500,)]
    with pytest.raises(Exception, match="does not exist"):
        ask(target, "SELECT * FROM other.precious")


def test_what_only_the_set_up_makes_counts_as_empty_but_a_second_user_does_not(
    source: URL, target: URL, tmp_path: Path
) -> None:
    fill(source)
    dump(source, tmp_path / "a")
    ask(target, "CREATE TABLE slot_pool AS SELECT 1 AS a", "CREATE TABLE ab_user AS SELECT 'admin' AS name")
    check(target, tmp_path / "a")
    ask(target, "INSERT INTO ab_user VALUES ('trader')")
    with pytest.raises(BackupError, match=r"not empty \(ab_user\)"):
        check(target, tmp_path / "a")


def test_a_database_in_use_is_left_alone(source: URL, target: URL, tmp_path: Path) -> None:
    fill(source)
    dump(source, tmp_path / "a")
    with create_engine(target, poolclass=NullPool).connect() as scheduler:
        scheduler.execute(text("SELECT 1"))
        with pytest.raises(BackupError, match="1 sessions use the database target"):
            restore(target, tmp_path / "a", replace=True)


@pytest.mark.parametrize("damage", ["changed", "missing", "interrupted"])
def test_a_backup_that_is_not_whole_changes_nothing(source: URL, target: URL, tmp_path: Path, damage: str) -> None:
    fill(source)
    dump(source, tmp_path / "a")
    file = tmp_path / "a" / DUMP
    if damage == "changed":
        file.write_bytes(file.read_bytes()[:-1] + b"x")
    elif damage == "missing":
        file.unlink()
    else:
        (tmp_path / "a" / MANIFEST).unlink()
    ask(target, "CREATE TABLE precious AS SELECT 1 AS one")
    with pytest.raises(BackupError):
        restore(target, tmp_path / "a", replace=True)
    assert ask(target, "SELECT * FROM precious") == [(1,)]


def test_a_backup_never_overwrites_another(source: URL, tmp_path: Path) -> None:
    dump(source, tmp_path / "a")
    with pytest.raises(BackupError, match="exists"):
        dump(source, tmp_path / "a")


def test_a_table_that_somebody_locks_is_waited_for_not_longer_than_the_limit(
    source: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(source)
    monkeypatch.setattr("ops.postgres_backup.LOCK_TIMEOUT_S", 1)
    with create_engine(source, poolclass=NullPool).begin() as migration:
        migration.execute(text("LOCK TABLE dag_run IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(BackupError, match=r"LOCK TABLE public\.dag_run"):
            dump(source, tmp_path / "a")
    assert not (tmp_path / "a" / MANIFEST).exists()


def test_a_server_that_is_away_and_a_wrong_password_are_named_without_the_password(source: URL, tmp_path: Path) -> None:
    for url in (source.set(port=free_port()), source.set(password="hunter2")):
        with pytest.raises(psycopg.OperationalError) as caught:
            dump(url, tmp_path / "a")
        assert "hunter2" not in str(caught.value)
        assert PASSWORD not in str(caught.value)
    assert not (tmp_path / "a").exists()


# --- the programs


def stub(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize("version", [9, 99])
def test_programs_of_another_version_than_the_servers_are_refused_at_the_backup_already(
    source: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    stub(tmp_path / "bin", "pg_dump", f'echo "pg_dump (PostgreSQL) {version}.2 (Debian)"')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(BackupError, match=rf"{version}\.2 .* put the client programs of version \d+ first"):
        dump(source, tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_programs_that_are_missing_are_named(source: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackupError, match="no pg_dump on the PATH: install"):
        dump(source, tmp_path / "a")


def test_the_password_is_no_argument_of_any_program(
    source: URL, target: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(source)
    real = find_postgres()
    for name in ("pg_dump", "pg_restore"):
        stub(tmp_path / "bin", name, f'echo "$0 $*" >>{tmp_path}/arguments\nexec {real}/{name} "$@"')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    in_options = source.set(password=None).update_query_dict({"password": PASSWORD, "sslmode": "prefer"})
    for number, url in enumerate((source, in_options)):
        dump(url, tmp_path / str(number))
        restore(target, tmp_path / str(number), replace=True)
    arguments = (tmp_path / "arguments").read_text()
    assert len(arguments.splitlines()) == 14, arguments
    assert "sslmode=prefer" in arguments
    assert "p@ss" not in arguments
    assert "p%40ss" not in arguments


# --- which database


@pytest.mark.parametrize("address", ["", " ", "sqlite:////run/airflow.db?timeout=60", "mysql+mysqldb://u:p@h/d"])
def test_what_is_not_postgresql_is_left_out(address: str) -> None:
    assert airflow_database({VARIABLE: address}) is None
    assert airflow_database({}) is None


@pytest.mark.parametrize("driver", ["postgresql", "postgresql+psycopg", "postgresql+psycopg2", "postgresql+asyncpg"])
def test_every_driver_of_postgresql_is_postgresql(driver: str) -> None:
    found = airflow_database({VARIABLE: f"{driver}://airflow:p%40ss@postgres:5432/airflow"})
    assert found is not None
    assert (found.host, found.port, found.password) == ("postgres", 5432, "p@ss")


def test_an_address_that_is_none_is_refused_without_repeating_it() -> None:
    with pytest.raises(BackupError, match=VARIABLE) as caught:
        airflow_database({VARIABLE: "hunter2"})
    assert "hunter2" not in str(caught.value)
