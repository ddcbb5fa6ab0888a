"""The figures of the last seven days, their grades and their documents."""

from __future__ import annotations

import math
import statistics
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo.database import Database

from include.errors import BadInputError
from include.store.collections import PERFORMANCE_METRICS
from include.trading.engine_client import EngineClient
from include.trading.performance import HISTORY, analyse
from include.trading.performance_documents import mark_gpt4_triggered, performance_document, performance_result
from include.trading.performance_model import PerformanceAnalysis
from include.trading.thresholds import AVG_PROFIT, SHARPE_RATIO, WIN_RATE, alert, grade
from include.trading.trades import parse_trades
from tests.trading.engine_answers import CLOSED, NOW, envelope, trade, week
from tests.trading.loopback import LoopbackServer, as_json

GOOD_WEEK = week(
    (6, 2, 4.6, -1.0), (5, 2, 4.4, -1.2), (6, 2, 4.5, -1.1), (5, 2, 4.7, -1.0),
    (6, 2, 4.4, -1.3), (5, 2, 4.6, -1.0), (5, 2, 4.5, -1.4),
)  # fmt: skip
POOR_WEEK = week(
    (4, 3, 2.0, -1.8), (3, 3, 2.1, -2.2), (4, 3, 1.9, -2.6), (3, 3, 2.0, -2.4),
    (4, 4, 2.2, -2.5), (3, 3, 2.0, -1.9), (4, 4, 1.8, -2.3),
)  # fmt: skip


def analysis_of(rows: list[dict[str, Any]], now: datetime = NOW) -> PerformanceAnalysis:
    return analyse(parse_trades(rows), now)


@pytest.mark.critical
def test_tc_async_040_good_performance(engine: LoopbackServer, client: EngineClient) -> None:
    engine.routes[CLOSED] = as_json(envelope(GOOD_WEEK))
    analysis = analyse(client.closed_trades(NOW - HISTORY), NOW)
    result = performance_result(analysis, "run-1")
    assert result["metrics"]["win_rate"] >= 70.0
    assert result["metrics"]["sharpe_ratio"] >= 2.1
    assert result["metrics"]["avg_profit_per_trade"] >= 2.6
    assert result["gpt4_analysis_triggered"] is False
    assert result["analysis"]["trigger_ai_analysis"] is False
    assert result["analysis"]["alerts"] == []
    assert result["analysis"]["overall"] == "GOOD"


@pytest.mark.critical
def test_tc_async_041_poor_performance_triggers_gpt4(engine: LoopbackServer, client: EngineClient) -> None:
    engine.routes[CLOSED] = as_json(envelope(POOR_WEEK))
    analysis = analyse(client.closed_trades(NOW - HISTORY), NOW)
    result = performance_result(analysis, "run-1")
    assert result["metrics"]["win_rate"] < 55.0
    assert result["analysis"]["performance"] == {
        "win_rate_status": "critical",
        "avg_profit_status": "critical",
        "sharpe_status": "critical",
    }
    assert result["analysis"]["trigger_ai_analysis"] is True
    assert result["analysis"]["overall"] == "CRITICAL"


def test_alerts_have_the_specified_words() -> None:
    assert alert(WIN_RATE, 52.3) == "🔴 CRITICAL: Win rate 52.3% below 55% threshold!"
    assert alert(SHARPE_RATIO, 0.87) == "🔴 CRITICAL: Sharpe ratio 0.87 below 1.0 threshold!"
    assert alert(AVG_PROFIT, 1.2) == "🔴 CRITICAL: Avg profit 1.2% below 1.5% threshold!"
    assert alert(WIN_RATE, 58.0) == "⚠️ WARNING: Win rate 58.0% below 70% target!"
    assert alert(WIN_RATE, 70.0) is None
    assert alert(SHARPE_RATIO, None) is None


def test_alert_never_says_that_a_number_is_below_itself() -> None:
    assert alert(WIN_RATE, 54.97) == "🔴 CRITICAL: Win rate 54.97% below 55% threshold!"
    assert alert(AVG_PROFIT, 2.5999) == "⚠️ WARNING: Avg profit 2.5999% below 2.6% target!"


@pytest.mark.parametrize("threshold", [WIN_RATE, AVG_PROFIT, SHARPE_RATIO])
def test_thresholds_are_strict_bounds(threshold: Any) -> None:
    assert grade(threshold, threshold.target) == "good"
    assert grade(threshold, math.nextafter(threshold.target, -1)) == "warning"
    assert grade(threshold, threshold.critical) == "warning"
    assert grade(threshold, math.nextafter(threshold.critical, -1)) == "critical"
    assert grade(threshold, None) == "not_available"


def test_average_of_exactly_the_threshold_is_not_below_it() -> None:
    analysis = analysis_of(week((9, 3, 1.5, 1.5), (8, 3, 1.5, 1.5)))
    assert analysis.metrics.avg_profit_per_trade == 1.5
    assert analysis.grades["avg_profit_status"] == "warning"


def test_sharpe_ratio_is_on_daily_sums_annualised_with_365() -> None:
    days = [
        (2, 1, 2.0, -1.0), (0, 0, 0, 0), (1, 1, 2.0, -3.0), (3, 0, 1.0, 0),
        (0, 2, 0, -0.5), (1, 1, 1.0, -0.5), (2, 0, 0.25, 0),
    ]  # fmt: skip
    analysis = analysis_of(week(*days))
    daily = [3.0, 0.0, -1.0, 3.0, -1.0, 0.5, 0.5]
    expected = statistics.fmean(daily) / statistics.stdev(daily) * math.sqrt(365)
    assert analysis.metrics.sharpe_ratio == pytest.approx(expected, abs=1e-5)


def test_identical_daily_returns_give_no_sharpe_ratio_and_no_alarm() -> None:
    analysis = analysis_of(week(*[(2, 0, 3.0, 0.0)] * 7))
    assert analysis.metrics.sharpe_ratio is None
    assert "fewer than two different" in str(analysis.metrics.sharpe_reason)
    assert analysis.grades["sharpe_status"] == "not_available"
    assert not analysis.trigger_ai_analysis


def test_day_without_trades_counts_zero_but_the_first_hour_of_today_does_not() -> None:
    days = [figures.date.day for figures in analysis_of(POOR_WEEK).daily]
    assert days == [15, 16, 17, 18, 19, 20, 21]
    with_today = [*POOR_WEEK, trade(-1.0, NOW - timedelta(minutes=10))]
    assert [figures.date.day for figures in analysis_of(with_today).daily][-1] == 22


def test_trend_is_none_where_no_trade_closed() -> None:
    quiet = week((4, 3, 2.0, -1.8), (0, 0, 0, 0), *[(3, 3, 2.0, -2.0)] * 5)
    figures = analysis_of(quiet).daily[1]
    assert (figures.trades, figures.win_rate, figures.avg_profit_per_trade, figures.trailing_sharpe_ratio) == (
        0,
        None,
        None,
        None,
    )
    assert figures.return_pct == 0


def test_nine_trades_are_not_enough_and_never_trigger() -> None:
    analysis = analysis_of(week((0, 9, 0.0, -5.0)))
    assert analysis.status == "skipped"
    assert analysis.reason == "Not enough data: 9 trades closed in the last 7 days, at least 10 are needed"
    assert not analysis.trigger_ai_analysis
    assert set(analysis.grades.values()) == {"not_available"}
    assert performance_result(analysis, "r")["status"] == "skipped"


def test_ten_trades_are_enough() -> None:
    assert analysis_of(week((0, 10, 0.0, -5.0))).trigger_ai_analysis


def test_no_trades_at_all_are_skipped_without_a_division_by_zero() -> None:
    analysis = analysis_of([])
    assert analysis.metrics.total_trades == 0
    assert analysis.metrics.win_rate is None
    assert analysis.metrics.total_pnl_usdt == 0


def test_trades_older_than_seven_days_do_not_count() -> None:
    old = [trade(-9.0, NOW - timedelta(days=7, seconds=1)) for _ in range(30)]
    assert analysis_of(old + POOR_WEEK).metrics == analysis_of(POOR_WEEK).metrics


def test_sum_of_money_is_unknown_when_one_trade_does_not_say_it() -> None:
    assert analysis_of(POOR_WEEK).metrics.total_pnl_usdt == pytest.approx(
        sum(row["pnl"] for row in POOR_WEEK), abs=1e-5
    )
    assert analysis_of([*POOR_WEEK, trade(pnl=None)]).metrics.total_pnl_usdt is None


def test_now_without_a_zone_is_refused() -> None:
    with pytest.raises(BadInputError, match="time zone"):
        analyse([], NOW.replace(tzinfo=None))


def test_analysis_survives_the_way_from_task_to_task() -> None:
    analysis = analysis_of(POOR_WEEK)
    assert PerformanceAnalysis.model_validate_json(analysis.model_dump_json()) == analysis


def test_stored_document_has_numbers_at_the_top_and_is_overwritten_by_a_retry(db: Database[dict[str, Any]]) -> None:
    for _ in range(2):
        document = performance_document(analysis_of(POOR_WEEK), "run-1")
        db[PERFORMANCE_METRICS].replace_one({"_id": document["_id"]}, document, upsert=True)
    stored = list(db[PERFORMANCE_METRICS].find())
    assert len(stored) == 1
    assert stored[0]["win_rate"] < 55
    assert stored[0]["date"] == "2025-11-22"
    assert stored[0]["timestamp"] == NOW
    assert stored[0]["performance_status"]["sharpe_status"] == "critical"
    assert len(stored[0]["full_metrics"]["daily"]) == 7


def test_gpt4_counts_as_triggered_only_once_the_child_run_exists(db: Database[dict[str, Any]]) -> None:
    db[PERFORMANCE_METRICS].insert_one(performance_document(analysis_of(POOR_WEEK), "run-1"))
    assert mark_gpt4_triggered(db, "run-1", "child-1")
    stored = db[PERFORMANCE_METRICS].find_one({"_id": "run-1"})
    assert stored is not None
    assert (stored["gpt4_analysis_triggered"], stored["gpt4_task_id"]) == (True, "child-1")
    assert not mark_gpt4_triggered(db, "another", "child-1")


@given(st.lists(st.tuples(st.floats(-50, 50), st.integers(0, 20_000)), max_size=60))
def test_any_trades_give_finite_figures_in_range(trades: list[tuple[float, int]]) -> None:
    rows = [trade(pct, NOW - timedelta(minutes=age)) for pct, age in trades]
    analysis = analysis_of(rows)
    metrics = analysis.metrics
    assert metrics.total_trades == sum(0 < age <= 7 * 24 * 60 for _, age in trades)
    assert metrics.win_rate is None or 0 <= metrics.win_rate <= 100
    assert (metrics.sharpe_ratio is None) == (metrics.sharpe_reason is not None)
    assert sum(figures.trades for figures in analysis.daily) == metrics.total_trades
