"""Fixtures of the market tests: a Binance on loopback and a client for it that does not really wait."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from include.market.binance import BinanceClient
from tests.market.binance_server import FakeBinance, running_binance


@pytest.fixture
def binance() -> Iterator[FakeBinance]:
    """A server that answers like Binance; give it candles and a clock."""
    with running_binance() as server:
        yield server


@pytest.fixture
def waits() -> list[float]:
    """The waits that the client asked for, in seconds."""
    return []


@pytest.fixture
def client(binance: FakeBinance, waits: list[float]) -> Iterator[BinanceClient]:
    """A client of that server; its waits are recorded instead of slept."""
    with BinanceClient(binance.url, timeout_s=5.0, max_attempts=4, sleep=waits.append) as client:
        yield client
