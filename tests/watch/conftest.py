"""A second environment, for the tests of the watchmen: they stop what the others need, RabbitMQ and Redis included."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.rabbitmq import RabbitMq, start_rabbitmq
from sandbox.redis_server import RedisServer, start_redis
from tests.chain.conftest import Bundle, bundle, running_bundle

__all__ = ["bundle"]


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
    node.stop()


@pytest.fixture(scope="session")
def environment(
    tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer, rabbitmq: RabbitMq
) -> Iterator[Bundle]:
    """One environment for all the watchmen's tests."""
    with running_bundle(
        tmp_path_factory.mktemp("watch"),
        TRADING_OPS_REDIS_URL=redis_server.url,
        TRADING_OPS_RABBITMQ_URL=rabbitmq.url,
    ) as running:
        yield running
