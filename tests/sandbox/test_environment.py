"""An environment over restarts, and one without real candles: real processes in their own folders."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.launcher import Sandbox, start_all

HOUR = 3_600_000


def klines(running: Sandbox, symbol: str, **query: Any) -> list[list[Any]]:
    url = running.urls["binance"] + "/api/v3/klines"
    rows: list[list[Any]] = httpx.get(url, params={"symbol": symbol, "interval": "1h", **query}).json()
    return rows


def test_a_restart_serves_the_same_bar_at_the_same_time(tmp_path: Path, market_data_dir: Path) -> None:
    first = start_all(tmp_path, market_data_dir=market_data_dir, services=["binance"])
    try:
        before = first.control.advance(days=14)
        rows = klines(first, "BTCUSDT", limit=1000)
    finally:
        first.stop()
    second = start_all(tmp_path, market_data_dir=market_data_dir, services=["binance"])
    try:
        after = second.control.data()
        assert after["shift_weeks"] == before["shift_weeks"]
        assert after["advance_hours"] == 14 * 24
        assert after["now_ms"] >= before["now_ms"]
        assert klines(second, "BTCUSDT", startTime=rows[0][0], endTime=rows[-2][0], limit=1000) == rows[:-1]
    finally:
        second.stop()


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Exchange and engine on a machine without real candles."""
    folder = tmp_path_factory.mktemp("bare")
    running = start_all(folder / "env", market_data_dir=folder / "nothing-here", services=["binance", "engine"])
    yield running
    running.stop()


def test_without_real_candles_the_fallback_says_so(bare: Sandbox) -> None:
    about = bare.control.data()
    assert about["real"] is False
    assert about["data"].startswith("fallback: real EURUSD of backtesting.py as EURUSDT")
    assert about["data"] in bare.services["binance"].log.read_text()
    assert about["days_ahead"] >= 59


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT", "EURUSDT"])
def test_the_fallback_serves_closed_and_running_candles(bare: Sandbox, symbol: str) -> None:
    rows = klines(bare, symbol, limit=1000)
    assert len(rows) == 1000
    assert {later[0] - earlier[0] for earlier, later in pairwise(rows)} == {HOUR}
    assert rows[-1][0] <= bare.control.data()["now_ms"] <= rows[-1][6] + HOUR


def test_engine_and_exchange_share_the_fallback(bare: Sandbox) -> None:
    price = httpx.get(bare.urls["engine"] + "/api/market/prices").json()["data"]["BTCUSDT"]
    last = float(klines(bare, "BTCUSDT", limit=1)[0][4])
    assert price == pytest.approx(last, rel=0.05)
