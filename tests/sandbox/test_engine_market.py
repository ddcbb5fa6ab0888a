"""The engine's candle cache: newest first, duplicates, at most 500 rows."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from sandbox.control import Control
from sandbox.launcher import Sandbox

HOUR = 3_600_000


def candles(engine: httpx.Client, path: str = "BTCUSDT/1h", **query: Any) -> list[dict[str, Any]]:
    body = engine.get(f"/api/market/candles/{path}", params=query).json()
    assert list(body) == ["success", "data", "error"]
    rows: list[dict[str, Any]] = body["data"]
    return rows


@pytest.mark.parametrize(("uptime", "distinct"), [(0, 500), (60, 350), (120, 200), (200, 8), (1000, 8)])
def test_duplicates_push_out_history_as_observed(
    control: Control, engine: httpx.Client, uptime: int, distinct: int
) -> None:
    control.engine_state(uptime_minutes=uptime)
    rows = candles(engine, limit=500)
    assert len(rows) == 500
    assert abs(len({row["open_time"] for row in rows}) - distinct) <= 3


def test_rows_are_newest_first_and_have_the_caches_keys(control: Control, engine: httpx.Client) -> None:
    control.engine_state(uptime_minutes=0)
    rows = candles(engine, limit=10)
    assert [row["open_time"] for row in rows] == sorted((row["open_time"] for row in rows), reverse=True)
    assert list(rows[0]) == [
        "open_time", "close_time", "open", "high", "low", "close", "volume", "quote_volume", "trades", "is_closed",
    ]  # fmt: skip
    assert rows[0]["close_time"] == rows[0]["open_time"] + HOUR - 1
    assert all(row["is_closed"] for row in rows)


def test_never_more_than_the_cache_holds(control: Control, engine: httpx.Client) -> None:
    assert len(candles(engine, limit=720)) == 500
    assert len(candles(engine)) == 500


@pytest.mark.parametrize("path", ["BTCUSDT/4h", "BTCUSDT/30m", "NOSUCH/1h", "ADAUSDT/1h"])
def test_what_is_not_configured_is_an_empty_list(control: Control, engine: httpx.Client, path: str) -> None:
    assert candles(engine, path) == []
    symbol, timeframe = path.split("/")
    assert engine.get(f"/api/market/chart/{path}").json()["data"] == {
        "symbol": symbol, "timeframe": timeframe, "candles": [], "latest_price": 0.0, "volume_24h": 0.0,
        "price_change_24h": 0.0, "price_change_percent_24h": 0.0,
    }  # fmt: skip


def test_engine_and_exchange_show_the_same_candles(control: Control, engine: httpx.Client, sandbox: Sandbox) -> None:
    control.advance(hours=1)
    control.engine_state(uptime_minutes=0)
    ours = candles(engine, limit=5)[1:]
    query: dict[str, Any] = {"symbol": "BTCUSDT", "interval": "1h", "limit": 4, "endTime": ours[0]["open_time"]}
    theirs = httpx.get(sandbox.urls["binance"] + "/api/v3/klines", params=query).json()[::-1]
    assert [(row["open_time"], row["open"], row["close"]) for row in ours] == [
        (row[0], float(row[1]), float(row[4])) for row in theirs
    ]


def test_chart_and_charts(control: Control, engine: httpx.Client) -> None:
    control.engine_state(uptime_minutes=0)
    chart = engine.get("/api/market/chart/btcusdt/1h", params={"limit": 30}).json()["data"]
    assert chart["symbol"] == "BTCUSDT"
    assert list(chart["candles"][0]) == ["timestamp", "open", "high", "low", "close", "volume"]
    assert chart["latest_price"] == chart["candles"][0]["close"]
    assert len(chart["candles"]) == 30
    query = {"symbols": "BTCUSDT,ETHUSDT", "timeframes": "1h,15m", "limit": "2"}
    charts = engine.get("/api/market/charts", params=query).json()["data"]
    assert [(entry["symbol"], entry["timeframe"]) for entry in charts] == [
        ("BTCUSDT", "1h"), ("BTCUSDT", "15m"), ("ETHUSDT", "1h"), ("ETHUSDT", "15m"),
    ]  # fmt: skip
    assert engine.get("/api/market/charts", params={"symbols": "BTCUSDT"}).status_code == 400


def test_prices_name_only_symbols_with_candles(control: Control, engine: httpx.Client) -> None:
    prices = engine.get("/api/market/prices").json()["data"]
    assert {"BTCUSDT", "ETHUSDT", "SOLUSDT"} <= set(prices)
    assert all(price > 0 for price in prices.values())
    symbols = engine.get("/api/market/symbols").json()["data"]
    assert symbols["available_timeframes"] == ["1m", "5m", "15m", "1h"]
