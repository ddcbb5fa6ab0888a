"""What the engine's trades say about the last seven days, at any moment."""

from __future__ import annotations

import math
import statistics
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.control import Control, ControlError
from sandbox.engine.portfolio import portfolio
from sandbox.engine.scenarios import scenario
from sandbox.engine.trades import TradeBook

Trade = dict[str, Any]
moments = st.floats(1_700_000_000, 1_900_000_000)


def book_at(name: str, told: float, elapsed: float, seed: int = 7) -> TradeBook:
    return TradeBook(scenario(name, seed), seed=seed, since=told, now=lambda: told + elapsed)


def last_week(book: TradeBook) -> list[Trade]:
    now = datetime.fromtimestamp(book.now(), UTC)
    return [trade for trade in book.closed() if datetime.fromisoformat(trade["close_time"]) > now - timedelta(days=7)]


def returns(trades: list[Trade]) -> list[float]:
    return [trade["pnl"] / (trade["entry_price"] * trade["quantity"]) * 100 for trade in trades]


def win_rate(trades: list[Trade]) -> float:
    return sum(trade["pnl"] > 0 for trade in trades) / len(trades) * 100


def sharpe(book: TradeBook, trades: list[Trade], combine: Any) -> float:
    """Return the annualised ratio of the daily returns of the eight UTC days that the window touches."""
    days: dict[Any, list[float]] = {}
    for trade, value in zip(trades, returns(trades), strict=True):
        days.setdefault(datetime.fromisoformat(trade["close_time"]).date(), []).append(value)
    today = datetime.fromtimestamp(book.now(), UTC).date()
    daily = [combine(days.get(today - timedelta(days=age), [0.0])) for age in range(8)]
    return statistics.fmean(daily) / statistics.stdev(daily) * math.sqrt(365)


@settings(max_examples=40, deadline=None)
@given(told=moments, elapsed=st.floats(0, 30 * 86_400), combine=st.sampled_from([sum, statistics.fmean]))
def test_good_weeks_meet_the_targets_at_any_moment(told: float, elapsed: float, combine: Any) -> None:
    book = book_at("good", told, elapsed)
    trades = last_week(book)
    assert len(trades) == 25
    assert win_rate(trades) == pytest.approx(72.0)
    assert statistics.fmean(returns(trades)) == pytest.approx(2.796, abs=0.001)
    assert sharpe(book, trades, combine) >= 2.3


@settings(max_examples=40, deadline=None)
@given(told=moments, elapsed=st.floats(0, 30 * 86_400), combine=st.sampled_from([sum, statistics.fmean]))
def test_losing_weeks_are_critical_at_any_moment(told: float, elapsed: float, combine: Any) -> None:
    book = book_at("losing", told, elapsed)
    trades = last_week(book)
    assert win_rate(trades) == pytest.approx(52.0)
    assert statistics.fmean(returns(trades)) < 1.5
    assert sharpe(book, trades, combine) < 1.0


@settings(max_examples=20, deadline=None)
@given(told=moments, elapsed=st.floats(0, 30 * 86_400))
def test_few_trades_are_fewer_than_ten(told: float, elapsed: float) -> None:
    assert len(last_week(book_at("few", told, elapsed))) == 6
    assert last_week(book_at("none", told, elapsed)) == []


@settings(max_examples=20, deadline=None)
@given(told=moments, seed=st.integers(0, 1000))
def test_the_history_before_the_last_week_says_something_else(told: float, seed: int) -> None:
    book = book_at("losing", told, 0.0, seed)
    ids = {trade["id"] for trade in last_week(book)}
    older = [trade for trade in book.closed() if trade["id"] not in ids]
    assert len(older) > 150
    assert win_rate(older) > 55


@settings(max_examples=20, deadline=None)
@given(told=moments, first=st.floats(0, 86_400 * 10), more=st.floats(0, 86_400 * 10))
def test_the_past_does_not_change_while_time_goes_on(told: float, first: float, more: float) -> None:
    early = {trade["id"]: trade for trade in book_at("good", told, first).closed()}
    late = {trade["id"]: trade for trade in book_at("good", told, first + more).closed()}
    assert {trade_id: late[trade_id] for trade_id in early} == early


@settings(max_examples=20, deadline=None)
@given(told=moments, name=st.sampled_from(["good", "losing", "few"]), seed=st.integers(0, 1000))
def test_portfolio_figures_follow_from_the_trades(told: float, name: str, seed: int) -> None:
    book = book_at(name, told, 0.0, seed)
    closed, opened = book.closed(), book.open()
    figures = portfolio(closed, opened)
    pnls = [trade["pnl"] for trade in closed]
    wins, losses = [pnl for pnl in pnls if pnl > 0], [-pnl for pnl in pnls if pnl < 0]
    assert figures["total_trades"] == len(closed) + len(opened)
    assert figures["win_rate"] == pytest.approx(len(wins) / (len(closed) + len(opened)) * 100)
    assert figures["current_balance"] == pytest.approx(10_000 + sum(pnls))
    unrealized = sum(trade["pnl"] for trade in opened)
    assert figures["equity"] == pytest.approx(10_000 + sum(pnls) + unrealized)
    assert figures["total_pnl"] == pytest.approx(sum(pnls) + unrealized)
    assert figures["total_pnl_percentage"] == pytest.approx(figures["total_pnl"] / 100)
    assert figures["profit_factor"] == pytest.approx(statistics.fmean(wins) / statistics.fmean(losses))
    assert (figures["largest_win"], figures["largest_loss"]) == (max(wins), max(losses))
    assert figures["free_margin"] == pytest.approx(figures["equity"] - figures["margin_used"])
    assert figures["max_drawdown"] > 0
    on_margin = [t["pnl"] / (t["entry_price"] * t["quantity"] / t["leverage"]) for t in closed]
    assert figures["sharpe_ratio"] == pytest.approx(statistics.fmean(on_margin) / statistics.pstdev(on_margin))


def test_an_empty_book_has_a_portfolio_of_zeros() -> None:
    figures = portfolio([], [])
    assert figures["total_trades"] == 0
    assert figures["current_balance"] == figures["equity"] == 10_000
    assert {value for name, value in figures.items() if name not in {"current_balance", "equity", "free_margin"}} == {0}


def test_profit_factor_without_a_loss_is_null_on_the_wire(control: Control, engine: httpx.Client) -> None:
    control.scenario(trades=[{"return_pct": 2.0}, {"return_pct": 3.0}])
    assert engine.get("/api/paper-trading/portfolio").json()["data"]["profit_factor"] is None


def test_the_scenario_is_set_over_the_control_endpoint(control: Control, engine: httpx.Client) -> None:
    control.scenario("losing")
    trades = engine.get("/api/paper-trading/trades/closed").json()["data"]
    since = datetime.now(UTC) - timedelta(days=7)
    recent = [trade for trade in trades if datetime.fromisoformat(trade["close_time"]) > since]
    assert win_rate(recent) == pytest.approx(52.0)
    control.reset("engine")
    trades = engine.get("/api/paper-trading/trades/closed").json()["data"]
    recent = [trade for trade in trades if datetime.fromisoformat(trade["close_time"]) > since]
    assert win_rate(recent) == pytest.approx(72.0, abs=2)


def test_a_custom_list_of_trades(control: Control, engine: httpx.Client) -> None:
    whole = {"id": "x", "status": "Closed", "pnl": "corrupt"}
    control.scenario(
        trades=[{"return_pct": -2.0, "closed_hours_ago": 3, "notional": 5000.0, "symbol": "ETHUSDT"}, whole]
    )
    short, passed = engine.get("/api/paper-trading/trades/closed").json()["data"]
    assert passed == whole
    assert engine.get("/api/paper-trading/portfolio").json()["data"]["total_trades"] == 1
    assert short["symbol"] == "ETHUSDT"
    assert returns([short]) == [pytest.approx(-2.0)]
    assert short["pnl"] == pytest.approx(-100.0, rel=0.01)
    age = datetime.now(UTC) - datetime.fromisoformat(short["close_time"])
    assert timedelta(hours=3) <= age < timedelta(hours=3, minutes=5)


@pytest.mark.parametrize("options", [{"name": "great"}, {"trades": [{}]}, {"trades": ["x"]}, {"colour": "red"}])
def test_an_unusable_scenario_is_refused(control: Control, options: dict[str, Any]) -> None:
    with pytest.raises(ControlError, match="engine refused"):
        control.scenario(**options)


@given(told=moments, name=st.sampled_from(["good", "losing", "few", "mediocre"]), seed=st.integers(0, 50))
@settings(max_examples=60, deadline=None)
def test_every_trade_has_an_id_of_its_own(told: float, name: str, seed: int) -> None:
    ids = [trade["id"] for trade in book_at(name, told, 0, seed).closed()]
    assert len(set(ids)) == len(ids)
