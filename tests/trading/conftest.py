"""A scripted core engine on loopback, and a client for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from include.trading.engine_client import EngineClient
from tests.trading.loopback import LoopbackServer, loopback


@pytest.fixture
def engine() -> Iterator[LoopbackServer]:
    with loopback() as server:
        yield server


@pytest.fixture
def client(engine: LoopbackServer) -> EngineClient:
    return EngineClient(engine.url, timeout_s=5)
