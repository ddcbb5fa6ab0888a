"""A second environment for the tests of the watchmen: they stop MongoDB and RabbitMQ, which nobody else survives."""

from __future__ import annotations

from tests.chain.conftest import bundle, environment

__all__ = ["bundle", "environment"]
