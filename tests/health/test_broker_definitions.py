"""What the distributed mode's set-up gives a real RabbitMQ, and what the broker's own exporter calls its figures."""

from __future__ import annotations

import httpx
import pytest

from ops.broker_setup import BrokerSetupError, import_definitions
from sandbox.rabbitmq import RabbitMq


@pytest.fixture
def vhost(rabbitmq: RabbitMq) -> str:
    assert rabbitmq.management_url
    httpx.put(f"{rabbitmq.management_url}/api/vhosts/trading_ops").raise_for_status()
    return "trading_ops"


def test_the_policies_arrive_and_arrive_again(rabbitmq: RabbitMq, vhost: str) -> None:
    assert rabbitmq.management_url
    for _ in range(2):
        import_definitions(rabbitmq.management_url)
    policies = httpx.get(f"{rabbitmq.management_url}/api/policies/{vhost}").json()
    assert [policy["name"] for policy in policies] == ["monitoring-events-are-not-kept"]
    assert policies[0]["definition"]["message-ttl"] == 60000


def test_a_wrong_password_is_said_without_it(rabbitmq: RabbitMq) -> None:
    assert rabbitmq.management_url
    with pytest.raises(BrokerSetupError, match="401") as caught:
        import_definitions(rabbitmq.management_url.replace(":guest@", ":hunter2@"))
    assert "hunter2" not in str(caught.value)
