"""The portfolio report: pure, from what the engine really answers."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.errors import BadInputError
from include.trading.engine_client import EngineClient
from include.trading.equity_curve import MAX_POINTS, equity_curve
from include.trading.portfolio import Portfolio, parse_portfolio
from include.trading.portfolio_report import (
    PortfolioReport,
    build_portfolio_report,
    portfolio_document,
    portfolio_result,
)
from include.trading.trades import Trade, parse_trades
from tests.trading.engine_answers import CLOSED, PORTFOLIO, envelope, trade
from tests.trading.loopback import LoopbackServer, Reply, as_json

EIGHT = datetime(2025, 11, 22, 8, 0, tzinfo=UTC)
MIDNIGHT = EIGHT.replace(hour=0)
REQUIRED = (
    "date", "balance", "total_return_pct", "total_trades", "winning_trades", "losing_trades", "win_rate",
    "avg_profit_per_trade", "strategies",
)  # fmt: skip


def portfolio_of(trades: list[Trade], open_trades: int = 2, **changes: Any) -> Portfolio:
    """Return what the engine says about a book of these trades, its traps included."""
    pnl = sum(found.pnl_usdt or 0.0 for found in trades)
    total = len(trades) + open_trades
    figures = {
        **PORTFOLIO, "total_trades": total, "total_pnl": pnl + 17.25, "total_pnl_percentage": (pnl + 17.25) / 100,
        "win_rate": 100 * sum(found.won for found in trades) / total if total else 0.0,
        "current_balance": 10_000 + pnl, "equity": 10_017.25 + pnl, **changes,
    }  # fmt: skip
    return parse_portfolio(figures)


def book(wins: int, losses: int, *, win_pct: float = 3.5, loss_pct: float = -1.6, **changes: object) -> list[Trade]:
    """Trades that closed every two hours up to yesterday 22:00."""
    returns = [win_pct] * wins + [loss_pct] * losses
    rows = [trade(value, MIDNIGHT - timedelta(hours=2 * n), **changes) for n, value in enumerate(returns, start=1)]
    return parse_trades(rows)


def test_tc_async_036_the_report_has_the_specified_figures_computed_from_the_trades() -> None:
    trades = book(20, 6, strategy="RSI Strategy") + book(12, 9, strategy="macd")
    report = build_portfolio_report(portfolio_of(trades, current_balance=10_542.75), trades, EIGHT)
    shown = portfolio_result(report, "run-1")
    assert shown["status"] == "success"
    assert set(REQUIRED) <= set(shown["report"])
    assert report.balance == 10_542.75
    assert (report.total_trades, report.winning_trades, report.losing_trades) == (47, 32, 15)
    assert report.win_rate == pytest.approx(68.09, abs=0.01), "not diluted by the two open trades"
    assert report.avg_profit_per_trade == pytest.approx((32 * 3.5 - 15 * 1.6) / 47)
    assert report.total_return_pct is not None
    assert report.open_trades == 2
    strategies = report.strategies or {}
    assert list(strategies) == ["rsi", "macd"]
    assert strategies["rsi"].win_rate == pytest.approx(100 * 20 / 26)
    assert strategies["rsi"].profit == pytest.approx((20 * 3.5 - 6 * 1.6) / 26)
    assert report.strategies_note is None
    json.dumps(shown)


def test_tc_async_036_trades_without_a_strategy_are_unattributed_and_that_is_said() -> None:
    trades = book(3, 1)
    report = build_portfolio_report(portfolio_of(trades), trades, EIGHT)
    assert list(report.strategies or {}) == ["unattributed"]
    assert "carry no strategy name" in str(report.strategies_note)
    mixed = book(1, 1, strategy="rsi") + book(1, 0)
    both = build_portfolio_report(portfolio_of(mixed), mixed, EIGHT)
    assert list(both.strategies or {}) == ["rsi", "unattributed"]
    assert "counted as unattributed" in str(both.strategies_note)


def test_tc_async_046_no_trades_at_all_is_a_report_without_rates_and_without_zeros_in_their_place() -> None:
    report = build_portfolio_report(portfolio_of([], 0, total_pnl=17.25, equity=10_017.25), [], EIGHT)
    assert (report.status, report.total_trades, report.winning_trades) == ("complete", 0, 0)
    assert report.win_rate is None
    assert report.avg_profit_per_trade is None
    assert report.missing["win_rate"] == "no trade has closed so far"
    assert report.strategies == {}
    assert report.yesterday is not None
    assert (report.yesterday.trades, report.yesterday.pnl_usdt, report.yesterday.win_rate) == (0, 0.0, None)
    assert report.disagreements == ()
    assert not report.curve.is_empty, "a flat line is a curve, too"


def test_tc_async_046_a_weekend_without_trades_still_reports_the_rest() -> None:
    monday = datetime(2025, 11, 24, 8, 0, tzinfo=UTC)
    trades = book(5, 3)
    report = build_portfolio_report(portfolio_of(trades), trades, monday)
    assert report.yesterday is not None
    assert (report.yesterday.date.isoformat(), report.yesterday.trades) == ("2025-11-23", 0)
    assert report.total_trades == 8


def test_yesterday_is_the_utc_day_before() -> None:
    rows = [
        trade(1.0, MIDNIGHT),
        trade(1.0, MIDNIGHT - timedelta(microseconds=1)),
        trade(-2.0, MIDNIGHT - timedelta(days=1)),
        trade(1.0, MIDNIGHT - timedelta(days=1, microseconds=1)),
    ]
    trades = parse_trades([{**row, "close_time": when} for row, when in zip(rows, (
        "2025-11-22T00:00:00Z", "2025-11-21T23:59:59.999999999Z", "2025-11-21T00:00:00Z", "2025-11-20T23:59:59.999Z",
    ), strict=True)])  # fmt: skip
    yesterday = build_portfolio_report(portfolio_of(trades), trades, EIGHT).yesterday
    assert yesterday is not None
    assert (yesterday.trades, yesterday.win_rate) == (2, 50.0)
    assert yesterday.pnl_usdt == pytest.approx((0.01 - 0.02) * 67000.5 * 0.003)


def test_one_answer_of_two_is_half_a_report_with_reasons() -> None:
    trades = book(3, 2)
    only_trades = build_portfolio_report(None, trades, EIGHT, problems={"portfolio": "status 500"})
    assert (only_trades.status, only_trades.balance, only_trades.total_trades) == ("partial", None, 5)
    assert only_trades.missing["balance"] == "status 500"
    assert only_trades.open_trades is None
    assert only_trades.curve.is_profit
    only_portfolio = build_portfolio_report(portfolio_of(trades), None, EIGHT, problems={"trades": "HTML"})
    assert (only_portfolio.status, only_portfolio.total_trades, only_portfolio.yesterday) == ("partial", None, None)
    assert only_portfolio.balance is not None
    assert only_portfolio.missing["win_rate"] == "HTML"
    assert portfolio_result(only_portfolio, "run-1")["status"] == "partial"


def test_no_answer_at_all_is_said_and_holds_no_number() -> None:
    report = build_portfolio_report(None, None, EIGHT, problems={"portfolio": "refused", "trades": "refused"})
    assert report.status == "unavailable"
    assert portfolio_result(report, "run-1")["status"] == "error"
    assert [getattr(report, name) for name in REQUIRED[1:]] == [None] * 8
    assert set(REQUIRED[1:]) <= set(report.missing)
    assert report.curve.is_empty


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"total_trades": 3}, "counts 3 trades"),
        ({"win_rate": 90.0}, "wins, but its closed trades hold 5"),
        ({"total_pnl": 999.0}, "closed trades add up to"),
    ],
)
def test_a_portfolio_that_disagrees_with_the_trades_is_said(changes: dict[str, Any], words: str) -> None:
    trades = book(5, 3)
    report = build_portfolio_report(portfolio_of(trades, **changes), trades, EIGHT)
    assert any(words in said for said in report.disagreements), report.disagreements
    assert build_portfolio_report(portfolio_of(trades), trades, EIGHT).disagreements == ()


def test_a_trade_without_its_pnl_makes_no_partial_sum_of_money() -> None:
    rows = [trade(1.0, MIDNIGHT - timedelta(hours=2)), trade(2.0, MIDNIGHT - timedelta(hours=4), pnl=None)]
    trades = parse_trades(rows)
    report = build_portfolio_report(portfolio_of(trades), trades, EIGHT)
    assert report.yesterday is not None
    assert (report.yesterday.trades, report.yesterday.pnl_usdt) == (2, None)
    assert "lack their pnl" in str(report.curve.note)
    assert len(report.curve.realised) == 3, "from that trade on"


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(BadInputError, match="time zone"):
        build_portfolio_report(None, None, datetime(2025, 11, 22, 8, 0))  # noqa: DTZ001


def test_the_report_goes_through_json_and_into_a_document() -> None:
    trades = book(3, 2)
    report = build_portfolio_report(portfolio_of(trades), trades, EIGHT)
    assert PortfolioReport.model_validate(json.loads(report.model_dump_json())) == report
    document = portfolio_document(report)
    assert (document["timestamp"], document["date"]) == (EIGHT, "2025-11-22")


def test_d17_the_figures_come_out_of_the_envelope(engine: LoopbackServer, client: EngineClient) -> None:
    engine.routes["/api/paper-trading/portfolio"] = as_json(envelope(PORTFOLIO))
    engine.routes[CLOSED] = as_json(envelope([trade(1.0, MIDNIGHT - timedelta(hours=1))]))
    report = build_portfolio_report(client.portfolio(), client.closed_trades(), EIGHT)
    assert (report.balance, report.total_return_pct, report.total_trades) == (10542.75, 5.4275, 1)


def test_a_broken_answer_is_no_report_of_zeros(engine: LoopbackServer, client: EngineClient) -> None:
    engine.routes["/api/paper-trading/portfolio"] = Reply(200, b"<html>maintenance</html>", "text/html")
    with pytest.raises(Exception, match="maintenance"):
        client.portfolio()


class TestEquityCurve:
    """The realised balance, backwards from the present one."""

    def test_ends_at_the_balance_and_every_step_is_a_trades_pnl(self) -> None:
        trades = book(4, 3)
        curve = equity_curve(10_000.0, trades, [], EIGHT)
        assert curve.realised[-1].usdt == 10_000.0
        steps = [b.usdt - a.usdt for a, b in zip(curve.realised[:-2], curve.realised[1:-1], strict=True)]
        assert steps == pytest.approx([found.pnl_usdt for found in trades], abs=1e-5)
        assert curve.realised[0].usdt == pytest.approx(10_000.0 - sum(found.pnl_usdt or 0 for found in trades))

    def test_trades_before_the_window_change_nothing(self) -> None:
        old = parse_trades([trade(50.0, EIGHT - timedelta(days=31))])
        assert {point.usdt for point in equity_curve(10_000.0, old, [], EIGHT).realised} == {10_000.0}

    def test_stored_points_are_sorted_and_bounded(self) -> None:
        stored = [
            {"timestamp": EIGHT - timedelta(days=days), "equity": 10_000.0 + days, "balance": 1.0}
            for days in (40, 1, 2)
        ]
        stored.append({"timestamp": EIGHT - timedelta(hours=1), "equity": float("nan"), "balance": 1.0})
        assert [point.usdt for point in equity_curve(None, None, stored, EIGHT).equity] == [10_002.0, 10_001.0]

    def test_thousands_of_points_are_thinned_and_keep_their_ends(self) -> None:
        stored = [{"timestamp": EIGHT - timedelta(minutes=5 * n), "equity": 10_000.0 + n} for n in range(8640)]
        points = equity_curve(None, None, stored, EIGHT).equity
        assert 100 < len(points) <= MAX_POINTS
        assert (points[0].usdt, points[-1].usdt) == (18_639.0, 10_000.0)
