"""A second environment, for the tests of the watchmen: they stop what the others need, RabbitMQ and Redis included."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from ops.files import read_json
from sandbox.kit.ports import HOST
from sandbox.launcher import channel_connections
from sandbox.rabbitmq import RabbitMq, start_rabbitmq
from sandbox.redis_server import RedisServer, start_redis
from tests.chain.conftest import Bundle, bundle, running_bundle
from tests.watch.relay import Relay

__all__ = ["bundle"]

ALWAYS = "0"
"""A limit of disk and memory that every machine exceeds: here both are always critical, by real measurements."""


@dataclass(frozen=True)
class Doors:
    """The ways to the sinks: one to the three webhooks, one to the mail server."""

    webhooks: Relay
    mail: Relay

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Nobody listens where the channels are."""
        with self.webhooks.refusing(), self.mail.refusing():
            yield


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The environment's Redis."""
    server = start_redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMq]:
    """The environment's RabbitMQ."""
    node = start_rabbitmq(tmp_path_factory.mktemp("rabbitmq"))
    yield node
    node.stop(timeout_s=0)  # it has nothing to lose


@pytest.fixture(scope="session")
def doors() -> Doors:
    """The environment's ways to the sinks."""
    return Doors(Relay(), Relay())


@pytest.fixture(scope="package")
def environment(
    tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer, rabbitmq: RabbitMq, doors: Doors
) -> Iterator[Bundle]:
    """One environment for all the watchmen's tests."""
    with running_bundle(
        tmp_path_factory.mktemp("watch"),
        TRADING_OPS_REDIS_URL=redis_server.url,
        TRADING_OPS_RABBITMQ_URL=rabbitmq.url,
        TRADING_OPS_HEALTH_DISK_CRITICAL_PERCENT=ALWAYS,
        TRADING_OPS_HEALTH_MEMORY_CRITICAL_PERCENT=ALWAYS,
        **channel_connections(f"http://{HOST}:{doors.webhooks.port}", doors.mail.port),
    ) as running:
        urls = read_json(running.run_dir.sandbox_file)["urls"]
        doors.webhooks.lead_to(urlsplit(urls["sinks"]).port or 0)
        doors.mail.lead_to(urlsplit(urls["smtp"]).port or 0)
        yield running
