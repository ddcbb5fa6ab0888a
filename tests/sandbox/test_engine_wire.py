"""The engine's bodies, statuses and errors as they are on the wire."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from sandbox.control import Control
from sandbox.engine.envelope import rfc3339

PAPER = "/api/paper-trading"
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.(\d{3}|\d{6}|\d{9}))?Z")

PORTFOLIO_KEYS = [
    "total_trades", "win_rate", "total_pnl", "total_pnl_percentage", "max_drawdown", "max_drawdown_percentage",
    "sharpe_ratio", "profit_factor", "average_win", "average_loss", "largest_win", "largest_loss", "current_balance",
    "equity", "margin_used", "free_margin",
]  # fmt: skip
TRADE_KEYS = [
    "id", "symbol", "trade_type", "status", "entry_price", "exit_price", "quantity", "leverage", "stop_loss",
    "take_profit", "pnl", "pnl_percentage", "trading_fees", "funding_fees", "duration_ms", "open_time", "close_time",
    "close_reason", "ai_signal_id", "ai_confidence",
]  # fmt: skip
CLOSE_REASONS = {
    "TakeProfit", "StopLoss", "TrailingStop", "Manual", "AISignal", "RiskManagement", "MarginCall", "TimeBasedExit",
}  # fmt: skip


def closed(engine: httpx.Client) -> list[dict[str, Any]]:
    trades: list[dict[str, Any]] = engine.get(f"{PAPER}/trades/closed").json()["data"]
    return trades


@pytest.mark.parametrize("path", ["/api/health", "/api/health/anything"])
def test_health_is_a_constant(engine: httpx.Client, path: str) -> None:
    answer = engine.get(path)
    assert answer.status_code == 200
    assert answer.json() == {"success": True, "data": "Bot is running", "error": None}


def test_plain_envelope_of_monitoring(control: Control, engine: httpx.Client) -> None:
    system = engine.get("/api/monitoring/system").json()
    assert list(system) == ["success", "data", "error"]
    zeros = {name: value for name, value in system["data"].items() if name != "last_update"}
    assert set(zeros.values()) == {0}
    assert list(zeros) == [
        "uptime_seconds", "active_positions", "total_trades", "cache_size", "memory_usage_mb", "cpu_usage_percent",
    ]  # fmt: skip
    assert engine.get("/api/monitoring/trading").json()["data"]["sharpe_ratio"] is None
    connection = engine.get("/api/monitoring/connection").json()["data"]
    assert list(connection) == ["websocket_connected", "api_responsive", "last_data_update", "reconnect_count"]
    assert isinstance(connection["last_data_update"], int)


@pytest.mark.parametrize(
    "name",
    ["portfolio", "status", "trades/open", "trades/closed", "strategy-settings", "basic-settings",
     "indicator-settings", "signals-history", "pending-orders"],
)  # fmt: skip
def test_paper_trading_envelope_has_a_timestamp(control: Control, engine: httpx.Client, name: str) -> None:
    body = engine.get(f"{PAPER}/{name}").json()
    assert list(body) == ["success", "data", "error", "timestamp"]
    assert (body["success"], body["error"]) == (True, None)
    assert STAMP.fullmatch(body["timestamp"])


def test_portfolio_has_exactly_its_sixteen_keys(control: Control, engine: httpx.Client) -> None:
    body = engine.get(f"{PAPER}/portfolio").json()["data"]
    assert list(body) == PORTFOLIO_KEYS
    assert isinstance(body["total_trades"], int)
    assert all(isinstance(value, float) for name, value in body.items() if name != "total_trades")
    status = engine.get(f"{PAPER}/status").json()["data"]
    assert list(status) == ["is_running", "portfolio", "last_updated"]
    assert list(status["portfolio"]) == PORTFOLIO_KEYS


def test_trades_have_exactly_their_keys_and_types(control: Control, engine: httpx.Client) -> None:
    trades = closed(engine)
    opened = engine.get(f"{PAPER}/trades/open").json()["data"]
    for trade in trades + opened:
        assert list(trade) == TRADE_KEYS
        assert trade["trade_type"] in {"Long", "Short"}
        assert isinstance(trade["leverage"], int)
        assert isinstance(trade["pnl"], float)
        assert 0 <= trade["ai_confidence"] <= 1
        assert STAMP.fullmatch(trade["open_time"])
    for trade in trades:
        assert trade["status"] == "Closed"
        assert trade["close_reason"] in CLOSE_REASONS
        assert STAMP.fullmatch(trade["close_time"])
        assert datetime.fromisoformat(trade["open_time"]) < datetime.fromisoformat(trade["close_time"])
    for trade in opened:
        assert (trade["status"], trade["exit_price"], trade["close_time"]) == ("Open", None, None)
    assert len({trade["id"] for trade in trades + opened}) == len(trades + opened)


def test_a_closed_trades_profit_is_its_price_move_less_fees(control: Control, engine: httpx.Client) -> None:
    for trade in closed(engine):
        move = trade["exit_price"] - trade["entry_price"]
        gross = trade["quantity"] * (move if trade["trade_type"] == "Long" else -move)
        assert trade["pnl"] == pytest.approx(gross - 2 * trade["trading_fees"], abs=trade["quantity"] * 0.006)


def test_days_and_limit_are_ignored_and_the_whole_history_comes_back(control: Control, engine: httpx.Client) -> None:
    everything = closed(engine)
    some = engine.get(f"{PAPER}/trades/closed", params={"days": "7", "limit": "5", "offset": "abc"}).json()["data"]
    assert [trade["id"] for trade in some] == [trade["id"] for trade in everything]
    ages = [datetime.now(UTC) - datetime.fromisoformat(trade["close_time"]) for trade in everything]
    assert max(ages).days > 60
    assert min(ages).days < 1


def test_order_is_not_chronological_and_reloaded_trades_have_lost_precision(
    control: Control, engine: httpx.Client
) -> None:
    trades = closed(engine)
    times = [datetime.fromisoformat(trade["close_time"]) for trade in trades]
    assert times != sorted(times)
    assert times != sorted(times, reverse=True)
    digits = {len(trade["close_time"].partition(".")[2].removesuffix("Z")) for trade in trades}
    assert {3, 9} <= digits <= {0, 3, 6, 9}
    reloaded = [trade for trade in trades if trade["duration_ms"] is None]
    assert reloaded == trades[: len(reloaded)]
    assert all(trade["stop_loss"] is None and trade["take_profit"] is None for trade in reloaded)
    assert all(trade["duration_ms"] > 0 and trade["stop_loss"] for trade in trades[len(reloaded) :])


def test_pnl_percentage_is_stale(control: Control, engine: httpx.Client) -> None:
    """Some trades disagree in sign with their profit, some say 0, hardly any equals the true return."""
    trades = closed(engine)
    assert any(trade["pnl_percentage"] * trade["pnl"] < 0 for trade in trades)
    assert any(trade["pnl_percentage"] == 0.0 for trade in trades)
    true = [trade["pnl"] / (trade["entry_price"] * trade["quantity"]) * 100 for trade in trades]
    exact = sum(trade["pnl_percentage"] == pytest.approx(value) for trade, value in zip(trades, true, strict=True))
    assert exact < len(trades) / 10


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{PAPER}/trades"),
        ("GET", "/api/strategies/active"),
        ("POST", "/api/strategies/rsi/disable"),
        ("GET", "/api/strategies/rsi/disable"),
        ("GET", f"{PAPER}/signal-settings"),
        ("GET", "/api/healthz"),
        ("GET", "/"),
        ("GET", "/api/tasks"),
    ],
)
def test_what_does_not_exist_is_404_with_an_empty_body(
    control: Control, engine: httpx.Client, method: str, path: str
) -> None:
    answer = engine.request(method, path)
    assert (answer.status_code, answer.content) == (404, b"")
    assert "content-type" not in answer.headers


@pytest.mark.parametrize(("method", "path"), [("POST", f"{PAPER}/portfolio"), ("GET", f"{PAPER}/settings"),
                                              ("GET", f"{PAPER}/reset")])  # fmt: skip
def test_a_wrong_method_is_405_in_plain_text(control: Control, engine: httpx.Client, method: str, path: str) -> None:
    answer = engine.request(method, path)
    assert (answer.status_code, answer.text) == (405, "HTTP method not allowed")
    assert answer.headers["content-type"].startswith("text/plain")


def test_an_unparsable_query_is_400_in_plain_text(control: Control, engine: httpx.Client) -> None:
    for path in ("/api/market/candles/BTCUSDT/1h", f"{PAPER}/signals-history"):
        answer = engine.get(path, params={"limit": "abc"})
        assert (answer.status_code, answer.text) == (400, "Invalid query string")


def test_signals_come_as_extended_json(control: Control, engine: httpx.Client) -> None:
    data = engine.get(f"{PAPER}/signals-history", params={"limit": "20"}).json()["data"]
    assert len(data["signals"]) == 20
    signal = data["signals"][0]
    assert re.fullmatch(r"[0-9a-f]{24}", signal["_id"]["$oid"])
    assert signal["created_at"]["$date"]["$numberLong"].isdigit()
    stats = data["stats"]
    assert stats["wins"] + stats["losses"] == stats["total"] == 20
    losses = engine.get(f"{PAPER}/signals-history", params={"limit": "20", "outcome": "loss"}).json()["data"]
    assert len(losses["signals"]) == stats["losses"]


def test_real_trading_is_not_configured(control: Control, engine: httpx.Client) -> None:
    answer = engine.get("/api/real-trading/trades/closed")
    assert answer.status_code == 503
    assert answer.json()["success"] is False


def test_pending_orders_can_be_cancelled_once(control: Control, engine: httpx.Client) -> None:
    control.engine_state(pending_orders=[{"id": "a1", "symbol": "BTCUSDT", "status": "Pending"}])
    assert [order["id"] for order in engine.get(f"{PAPER}/pending-orders").json()["data"]] == ["a1"]
    first = engine.delete(f"{PAPER}/pending-orders/a1")
    assert (first.status_code, first.json()["data"]["order_id"]) == (200, "a1")
    second = engine.delete(f"{PAPER}/pending-orders/a1")
    assert (second.status_code, second.json()["success"]) == (400, False)


def test_the_specifications_endpoints_can_be_switched_on(control: Control, engine: httpx.Client) -> None:
    control.engine_state(spec_endpoints=True)
    trades = engine.get(f"{PAPER}/trades", params={"days": 7}).json()["trades"]
    assert len(trades) == 25
    assert {"strategy", "profit_pct", "win"} <= set(trades[0])
    disabled = engine.post("/api/strategies/rsi/disable")
    assert disabled.json()["data"] == {"strategy": "rsi", "disabled": True, "pending_signals_cancelled": 3}
    assert "rsi" not in engine.get("/api/strategies/active").json()
    assert engine.get("/api/strategies/rsi/disable").status_code == 405
    assert engine.post("/api/strategies/nosuch/disable").status_code == 404
    engine.post("/api/strategies/rsi/enable")
    assert "rsi" in engine.get("/api/strategies/active").json()


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(0, "Z"), (123_000_000, ".123Z"), (123_456_000, ".123456Z"), (123_456_789, ".123456789Z"), (1, ".000000001Z"),
     (100_000_000, ".100Z"), (120_000_000, ".120Z"), (1_000, ".000001Z")],
)  # fmt: skip
def test_timestamps_have_zero_three_six_or_nine_digits(fraction: int, text: str) -> None:
    assert rfc3339(1_763_719_200 * 10**9 + fraction) == "2025-11-21T10:00:00" + text
