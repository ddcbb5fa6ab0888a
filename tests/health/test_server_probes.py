"""MongoDB, Redis and RabbitMQ as they really answer, refuse and fill up."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import amqp
import pytest

from include.errors import ServiceUnavailableError
from include.health.probes import configured_probes
from include.health.rabbitmq_probe import MAX_QUEUE_DEPTH, probe_rabbitmq
from include.health.resources import UsageLimits, probe_disk, probe_memory, usage_entry
from include.health.store_probes import probe_mongodb, probe_redis
from include.settings import Settings
from sandbox.mongod import free_port
from sandbox.rabbitmq import RabbitMq
from sandbox.redis_server import RedisServer
from tests.health.conftest import Patient


@pytest.fixture
def deep_queue(rabbitmq: RabbitMq) -> Iterator[str]:
    """A queue with one message more than what is fine."""
    name = "ml_training"
    # With confirmation: a message that the queue does not have yet is not counted.
    with amqp.Connection(f"127.0.0.1:{rabbitmq.port}", confirm_publish=True) as connection:
        channel = connection.channel()
        channel.queue_declare(name, durable=True, auto_delete=False)
        for _ in range(MAX_QUEUE_DEPTH + 1):
            channel.basic_publish(amqp.Message("x"), routing_key=name)
        yield name
        channel.queue_delete(name)


def test_a_deep_queue_is_named_and_a_missing_one_counts_as_empty(rabbitmq: RabbitMq, deep_queue: str) -> None:
    entry = probe_rabbitmq(rabbitmq.url, None, ("not_there", deep_queue), 5.0)
    assert entry.status == "degraded"
    assert entry.facts["queues"] == [{"name": deep_queue, "messages": MAX_QUEUE_DEPTH + 1}]
    assert entry.findings[0].text == (
        f"⚠️ RabbitMQ queue depth high: {deep_queue} has {MAX_QUEUE_DEPTH + 1} messages (limit {MAX_QUEUE_DEPTH})"
    )


def test_the_management_api_alone_is_enough_and_refuses_a_wrong_password(rabbitmq: RabbitMq) -> None:
    assert rabbitmq.management_url
    assert probe_rabbitmq(None, rabbitmq.management_url, (), 5.0).status == "healthy"
    with pytest.raises(ServiceUnavailableError, match="status 401"):
        probe_rabbitmq(None, rabbitmq.management_url.replace(":guest@", ":wrong@"), (), 5.0)


def test_a_broken_management_api_beside_a_broker_that_answers_is_a_warning(rabbitmq: RabbitMq) -> None:
    entry = probe_rabbitmq(rabbitmq.url, f"http://127.0.0.1:{free_port()}", (), 5.0)
    assert entry.status == "degraded"
    assert [finding.code for finding in entry.findings] == ["management"]


def test_a_broker_that_refuses_the_login_or_is_not_there_is_not_healthy(rabbitmq: RabbitMq) -> None:
    with pytest.raises(ServiceUnavailableError, match="ACCESS_REFUSED") as caught:
        probe_rabbitmq(rabbitmq.url.replace(":guest@", ":hunter2@"), None, (), 5.0)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ServiceUnavailableError, match="ConnectionRefusedError"):
        probe_rabbitmq(f"amqp://guest:guest@127.0.0.1:{free_port()}//", None, (), 5.0)


def test_redis_and_mongodb_answer_or_say_why_not(redis_server: RedisServer, patient: Patient) -> None:
    assert probe_redis(redis_server.url, 5.0).status == "healthy"
    with pytest.raises(ServiceUnavailableError, match="PING failed"):
        probe_redis(redis_server.url.replace("//", "//nobody:hunter2@"), 5.0)
    with pytest.raises(ServiceUnavailableError, match="refused"):
        probe_redis(f"redis://127.0.0.1:{free_port()}/0", 5.0)
    assert probe_mongodb(patient.database, 5.0).status == "healthy"
    patient.stop()
    with pytest.raises(ServiceUnavailableError, match="Connection refused") as caught:
        probe_mongodb(patient.database, 0.5)
    assert "Topology" not in str(caught.value)


@pytest.mark.parametrize(
    ("usage", "status", "text"),
    [
        (0.0, "healthy", None),
        (79.9, "healthy", None),
        (80.0, "warning", "⚠️ Disk usage high: 80%"),
        (85.0, "warning", "⚠️ Disk usage high: 85%"),
        (90.0, "warning", "⚠️ Disk usage high: 90%"),
        (90.1, "critical", "❌ Disk usage critical: 90.1%"),
        (95.0, "critical", "❌ Disk usage critical: 95%"),
        (100.0, "critical", "❌ Disk usage critical: 100%"),
    ],
)
def test_the_limits_of_disk_and_memory(usage: float, status: str, text: str | None) -> None:
    entry = usage_entry("Disk", usage, UsageLimits())
    assert entry.status == status
    assert entry.facts == {"usage_percent": usage}
    assert [finding.text for finding in entry.findings] == ([text] if text else [])


def test_disk_and_memory_of_this_machine_are_read(tmp_path: Path) -> None:
    usage = shutil.disk_usage(tmp_path)
    measured = probe_disk(tmp_path, UsageLimits(), 1.0).facts["usage_percent"]
    assert measured == pytest.approx(usage.used / (usage.used + usage.free) * 100, abs=1.0)
    assert 0 < probe_memory(UsageLimits(), 1.0).facts["usage_percent"] <= 100


def test_the_limits_are_settings() -> None:
    tight = Settings(health_disk_critical_percent=0.0, health_memory_warning_percent=0.0)
    probes = configured_probes(tight, lambda: pytest.fail("no database is needed"), ())
    disk, memory = probes["Disk"], probes["Memory"]
    assert disk is not None
    assert memory is not None
    assert disk(1.0).status == "critical"
    assert memory(1.0).findings[0].code == "usage"


def test_a_disk_that_cannot_be_read_is_a_warning_that_names_the_setting(tmp_path: Path) -> None:
    entry = probe_disk(tmp_path / "not-there", UsageLimits(), 1.0)
    assert entry.status == "unknown"
    assert "TRADING_OPS_HEALTH_DISK_PATH" in entry.findings[0].text
