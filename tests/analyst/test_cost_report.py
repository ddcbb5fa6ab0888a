"""The cost report: actual spending, its split, projections and limits."""

from __future__ import annotations

import calendar
import json
import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.analyst.cost_limits import Approval, Costs, judge_costs
from include.analyst.cost_report import ServiceAnswer
from include.analyst.session_counter import increases
from include.analyst.spending import ledger_entry, total
from tests.analyst.cost_parts import GROK, LIMITS, VND, answered, ledger_row, paid, reading, report_of

NINE = datetime(2025, 11, 22, 9, 0, tzinfo=UTC)
NOON = NINE.replace(hour=12)
MIDNIGHT = NINE.replace(hour=0)


def test_tc_async_037_within_the_budget_nothing_is_alerted() -> None:
    ledger = [paid(1.87, MIDNIGHT - timedelta(days=day, hours=1)) for day in range(21)]
    ledger.append(paid(1.87 * 9 / 24, MIDNIGHT + timedelta(hours=8)))
    report, finding = report_of(NINE, ledger, service=answered(NINE, 1.87))
    assert report["alerts"] == []
    assert (finding.level, finding.switch_off) == ("ok", ())
    assert report["session"]["total_cost_usd"] == 1.87
    assert report["session"]["total_cost_vnd"] == 46750
    assert report["projections"]["daily_cost_usd"] == pytest.approx(1.87)
    assert report["projections"]["monthly_cost_usd"] == pytest.approx(56.10), "a projection alone raises nothing"
    assert report["actual"]["yesterday"]["cost_usd"] == pytest.approx(1.87)
    json.dumps(report)


def test_tc_async_038_a_day_above_two_dollars_warns_in_the_specified_words() -> None:
    report, finding = report_of(NOON, [paid(2.34, NINE)])
    assert report["alerts"] == ["⚠️ WARNING: Daily cost $2.34 exceeds $2.00 warning!"]
    assert (finding.level, finding.switch_off) == ("warning", ())
    assert report["actual"]["today"]["cost_vnd"] == 58_500


def test_tc_async_039_a_day_above_five_dollars_is_critical_and_switches_gpt4_off() -> None:
    report, finding = report_of(NINE, [paid(6.50, MIDNIGHT)])
    assert report["alerts"] == ["🚨 CRITICAL: Daily cost $6.50 exceeds $5.00 limit!"]
    assert finding.level == "critical"
    assert finding.switch_off == ("Daily cost $6.50 exceeds $5.00 limit",)


@pytest.mark.parametrize(
    ("costs", "hour", "level", "words"),
    [
        (Costs(2.00, 2.00), 12, "ok", ()),
        (Costs(2.000001, 2.000001), 12, "warning", ("$2.000001 exceeds $2.00",)),
        (Costs(5.00, 5.00), 12, "warning", ("$5.00 exceeds $2.00",)),
        (Costs(5.01, 5.01), 12, "critical", ("$5.01 exceeds $5.00",)),
        (Costs(1.00, 1.00, 2.01), 12, "warning", ("Projected daily cost $2.01",)),
        (Costs(1.99, 1.99, 12.00), 12, "warning", ("Projected daily cost $12.00",)),
        (Costs(2.01, 2.01, 12.00), 5, "warning", ("Daily cost $2.01",)),
        (Costs(2.01, 2.01, 12.00), 6, "critical", ("Projected daily cost $12.00", "Daily cost $2.01")),
        (Costs(0.1, 50.00), 12, "ok", ()),
        (Costs(0.1, 50.01), 12, "warning", ("Monthly cost $50.01 exceeds $50.00",)),
        (Costs(0.1, 100.01), 12, "critical", ("Monthly cost $100.01 exceeds $100.00",)),
        (Costs(0.1, 0.1, None, 2.50), 9, "warning", ("Yesterday's cost $2.50",)),
        (Costs(0.1, 0.1, None, 5.50), 9, "critical", ("Yesterday's cost $5.50",)),
    ],
)
def test_limits_are_read_as_decided(costs: Costs, hour: int, level: str, words: tuple[str, ...]) -> None:
    finding = judge_costs(costs, LIMITS, NINE.replace(hour=hour))
    assert finding.level == level
    assert len(finding.alerts) == len(words)
    assert all(word in alert for word, alert in zip(words, finding.alerts, strict=True))
    assert bool(finding.switch_off) == (level == "critical")


def test_an_approval_grants_the_limit_once_more_and_only_for_its_day_and_month() -> None:
    approval = Approval("2025-11-22", 6.5, "2025-11", 101.0)
    seen = judge_costs(Costs(6.5, 101.0, 12.0), LIMITS, NOON, approval)
    assert (seen.level, seen.switch_off) == ("critical", ())
    assert "approved by a person" in seen.alerts[0]
    assert judge_costs(Costs(11.5, 101.0), LIMITS, NOON, approval).switch_off == ()
    assert judge_costs(Costs(11.51, 101.0), LIMITS, NOON, approval).switch_off != ()
    assert judge_costs(Costs(0.0, 201.1), LIMITS, NOON, approval).switch_off != ()
    assert judge_costs(Costs(5.1, 10.0), LIMITS, NOON + timedelta(days=1), approval).switch_off != ()
    assert judge_costs(Costs(0.0, 101.0), LIMITS, NOON + timedelta(days=10), approval).switch_off != ()


def test_yesterdays_excess_switches_off_once() -> None:
    _, first = report_of(NINE, [paid(5.5, MIDNIGHT - timedelta(hours=1))])
    report, again = report_of(NINE, [paid(5.5, MIDNIGHT - timedelta(hours=1))], yesterday_answered=True)
    assert first.switch_off == ("Yesterday's cost $5.50 exceeds $5.00 limit",)
    assert (again.level, again.switch_off) == ("warning", ())
    assert "Yesterday's cost $5.50" in report["alerts"][0]


@pytest.mark.parametrize("status", ["not_available", "not_configured"])
def test_tc_async_048_a_service_without_an_answer_is_never_a_cost_of_zero(status: str) -> None:
    service = ServiceAnswer(status, reason="status 500: maintenance")
    report, _ = report_of(NINE, [paid(0.5, MIDNIGHT)], service=service)
    assert report["session"]["total_cost_usd"] is None
    assert report["session"]["total_cost_vnd"] is None
    assert report["session"]["reason"] == "status 500: maintenance"
    assert report["actual"]["today"]["ai_service_usd"] is None
    assert report["actual"]["today"]["cost_usd"] == report["actual"]["today"]["ledger_usd"] == 0.5
    assert report["complete"] is (status == "not_configured")
    assert any("not available" in note or "No AI service" in note for note in report["notes"])


def test_tc_async_048_what_the_service_said_before_it_went_away_still_counts() -> None:
    before = [reading(MIDNIGHT + timedelta(hours=hour), 1.0 + 0.5 * hour) for hour in range(5)]
    report, _ = report_of(NINE, [], before, ServiceAnswer("not_available", reason="away"))
    assert report["actual"]["today"]["ai_service_usd"] == 2.0
    assert "last read at 2025-11-22 04:00 UTC" in report["notes"][0]


def test_the_first_reading_counts_nowhere_and_says_so() -> None:
    report, _ = report_of(NINE, service=answered(NINE, 42.0))
    assert report["actual"]["month_to_date"]["cost_usd"] == 0
    assert report["actual"]["today"]["ai_service_usd"] is None, "unknown, not 0"
    assert "first read at 2025-11-22 09:00 UTC" in report["notes"][0]


def test_a_counter_that_falls_was_restarted_and_counts_from_zero() -> None:
    history = increases([reading(MIDNIGHT, 3.0), reading(NINE, 3.4), reading(NOON, 0.25)])
    assert total(history.entries).usd == pytest.approx(0.65)
    assert history.restarts == (NOON,)


def test_fewer_requests_are_a_restart_too() -> None:
    history = increases([reading(MIDNIGHT, 1.0, 100), reading(NINE, 1.5, 20)])
    assert (total(history.entries).usd, total(history.entries).requests) == (1.5, 20)


def test_spending_of_a_gap_counts_when_it_was_seen_and_is_said() -> None:
    readings = [reading(MIDNIGHT - timedelta(hours=20), 1.0), reading(NINE, 1.8)]
    report, _ = report_of(NOON, readings=readings)
    assert report["actual"]["today"]["cost_usd"] == pytest.approx(0.8)
    assert report["actual"]["yesterday"]["cost_usd"] == 0
    assert any(
        "$0.8000 of the AI service was spent at some time between 2025-11-21 04:00" in n for n in report["notes"]
    )


@given(st.lists(st.integers(0, 50_000), min_size=2, max_size=40), st.sets(st.integers(1, 39)))
def test_every_increase_counts_exactly_once_whatever_the_restarts(steps: list[int], restarts: set[int]) -> None:
    """`steps` are ten-thousandths of a dollar spent before each reading; a restart forgets what was before it."""
    held = 0
    truth, readings = 0, []
    for position, step in enumerate(steps):
        if position in restarts:
            held = 0
        held += step
        seen = readings[-1].cost_usd if readings else None
        if seen is not None:
            hidden = position in restarts and held / 1e4 >= seen  # a restart that nothing shows
            truth += held - round(seen * 1e4) if position not in restarts or hidden else held
        readings.append(reading(MIDNIGHT + timedelta(minutes=15 * position), held / 1e4, requests=1))
    history = increases(readings)
    assert total(history.entries).nano == truth * 100_000


def test_costs_are_split_by_model_and_purpose_and_the_splits_add_up() -> None:
    ledger = [
        paid(0.30, MIDNIGHT, "gpt-4o"),
        paid(0.20, MIDNIGHT - timedelta(days=2), "gpt-4-turbo", "manual"),
        paid(0.10, NINE - timedelta(minutes=1), "gpt-4o"),
    ]
    report, _ = report_of(NINE, ledger, [reading(MIDNIGHT, 1.0)], answered(NINE, 1.25))
    by_model, by_purpose = report["by_model"], report["by_purpose"]
    assert list(by_model) == ["gpt-4o", GROK, "gpt-4-turbo"]
    assert by_model["gpt-4o"]["cost_usd"] == pytest.approx(0.40)
    assert by_model["gpt-4o"]["requests"] == 2
    assert (by_model["gpt-4o"]["input_tokens"], by_model["gpt-4o"]["output_tokens"]) == (1000, 400)
    assert by_model["gpt-4-turbo"]["cost_usd_today"] == 0
    assert set(by_purpose) == {"gpt4_self_analysis", "manual", "AI service"}
    month = report["actual"]["month_to_date"]["cost_usd"]
    for split in (by_model, by_purpose):
        assert math.fsum(row["cost_usd"] for row in split.values()) == pytest.approx(month)
        assert sum(row["cost_vnd"] for row in split.values()) == pytest.approx(month * VND, abs=2)


def test_a_request_without_a_confirmed_bill_counts_with_its_worst_case() -> None:
    rows = [ledger_row(0.1, MIDNIGHT), ledger_row(0.5, MIDNIGHT, state="unknown", purpose="gpt4_self_analysis:repair")]
    report, _ = report_of(NINE, [ledger_entry(row) for row in rows])
    assert report["actual"]["today"]["cost_usd"] == pytest.approx(0.6)
    assert report["actual"]["today"]["unsettled_usd"] == pytest.approx(0.5)
    assert list(report["by_purpose"]) == ["gpt4_self_analysis"]


@pytest.mark.parametrize(
    ("year", "month"), [(2025, 11), (2025, 12), (2026, 2), (2024, 2), (2028, 2)], ids=lambda part: str(part)
)
def test_tc_async_049_the_monthly_projection_of_even_spending_is_the_month(year: int, month: int) -> None:
    days = calendar.monthrange(year, month)[1]
    for day in (2, 15, days):
        now = datetime(year, month, day, 12, 0, tzinfo=UTC)
        ledger = [paid(1.0, now.replace(day=past, hour=6)) for past in range(1, day)]
        ledger.append(paid(0.5, now.replace(hour=3)))
        report, _ = report_of(now, ledger)
        assert report["projections"]["monthly_cost_usd"] == pytest.approx(days)
        assert report["projections"]["daily_cost_usd"] == pytest.approx(1.0)
        assert report["actual"]["month_to_date"]["cost_usd"] == pytest.approx(day - 0.5)


def test_tc_async_049_the_first_of_a_month_shows_the_month_before() -> None:
    first = datetime(2025, 12, 1, 9, 0, tzinfo=UTC)
    ledger = [paid(1.0, datetime(2025, 11, day, 20, 0, tzinfo=UTC)) for day in range(1, 31)]
    report, finding = report_of(first, ledger)
    assert report["actual"]["previous_month"]["cost_usd"] == pytest.approx(30.0)
    assert report["actual"]["month_to_date"]["cost_usd"] == 0
    assert finding.alerts == ()
    assert "previous_month" not in report_of(first + timedelta(days=1), ledger)[0]["actual"]


def test_the_first_hour_of_a_day_projects_nothing() -> None:
    report, finding = report_of(MIDNIGHT + timedelta(minutes=13), [paid(0.05, MIDNIGHT)])
    assert report["projections"]["daily_cost_usd"] is None
    assert "less than an hour" in report["projections"]["reason"]
    assert finding.level == "ok"
