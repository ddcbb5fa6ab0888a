"""The three daily reports and the switch of GPT-4, as Airflow runs them; what arrived at the sinks is asserted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from include.store import collections
from tests.chain.conftest import Bundle
from tests.watch.approvals import answer

pytestmark = pytest.mark.slow

PORTFOLIO, COST, PERFORMANCE = "daily_portfolio_report", "daily_api_cost_report", "daily_performance_analysis"
SWITCH, WATCH, ANALYSIS = "enable_gpt4", "watch_api_costs", "gpt4_self_analysis"


def pause_watch(bundle: Bundle, paused: bool) -> None:
    """Keep the watch's own schedule from reading the counters in the middle of a test."""
    bundle.client.request("PATCH", f"/api/v2/dags/{WATCH}", json={"is_paused": paused})


@pytest.fixture
def reports(bundle: Bundle) -> Iterator[Bundle]:
    """The environment, GPT-4 never switched, nothing reported so far."""
    pause_watch(bundle, True)
    for name in (
        collections.GPT4_SWITCH,
        collections.GPT4_SWITCH_HISTORY,
        collections.API_COST_HISTORY,
        collections.PORTFOLIO_REPORTS,
    ):
        bundle.db[name].delete_many({})
    yield bundle
    pause_watch(bundle, False)
    bundle.db[collections.GPT4_SWITCH].delete_many({})


def mails(bundle: Bundle, words: str) -> list[dict[str, Any]]:
    return [mail["payload"] for mail in bundle.control.messages("smtp") if words in mail["payload"]["subject"]]


def spend(bundle: Bundle, usd: float, at: datetime) -> None:
    """Book a settled request."""
    bundle.db[collections.GPT4_COSTS].insert_one(
        {
            "_id": f"{at.isoformat()}-{usd}", "task_id": "earlier", "model": "gpt-4o", "purpose": ANALYSIS, "try": 1,
            "state": "settled", "prompt_tokens": 4000, "completion_tokens": 800, "total_tokens": 4800,
            "cost_usd": usd, "worst_case_usd": usd, "timestamp": at,
        }
    )  # fmt: skip


def test_tc_async_036_037_040_the_three_reports_arrive_as_mails_with_pictures(reports: Bundle) -> None:
    reports.control.scenario("good")
    reports.control.ai_state(costs={"requests": 234, "input_tokens": 4000, "output_tokens": 900, "cost_usd": 1.87})
    started = {dag: reports.start(dag) for dag in (PORTFOLIO, COST, PERFORMANCE)}
    runs = {dag: reports.finish(dag, run_id) for dag, run_id in started.items()}
    for run in runs.values():
        assert run.state == "success", run.story

    result = runs[PORTFOLIO].xcom("result")
    report = result["report"]
    assert result["status"] == "success"
    assert report["winning_trades"] + report["losing_trades"] == report["total_trades"] > 0
    assert report["win_rate"] == pytest.approx(100 * report["winning_trades"] / report["total_trades"], abs=1e-5)
    assert report["disagreements"] == []
    assert report["open_trades"] == 2
    stored = reports.db[collections.PORTFOLIO_REPORTS].find_one({"_id": runs[PORTFOLIO].run_id})
    assert stored is not None
    assert stored["balance"] == report["balance"]

    session = runs[COST].xcom("result")["report"]["session"]
    assert (session["total_cost_usd"], session["total_cost_vnd"]) == (1.87, 46750)
    assert runs[COST].xcom("result")["report"]["alerts"] == []
    kept = reports.db[collections.API_COST_HISTORY].find_one({"_id": runs[COST].run_id})
    assert kept is not None
    assert kept["session"]["total_requests"] == 234

    for dag, words, picture in (
        (PORTFOLIO, "Daily portfolio report", "equity.png"),
        (COST, "Daily API cost report", None),
        (PERFORMANCE, "Daily performance analysis", "trend.png"),
    ):
        (mail,) = mails(reports, words)
        assert runs[dag].run_id in mail["text"]
        assert runs[dag].run_id in mail["html"]
        assert "<table" in mail["html"]
        assert [part["name"] for part in mail["attachments"]] == ([picture] if picture else [])
        assert (f"cid:{picture}" in mail["html"]) == bool(picture)
        assert [part["size"] < 100_000 for part in mail["attachments"]] == [True] * bool(picture)


@pytest.mark.long
def test_tc_async_039_a_critical_cost_switches_gpt4_off_until_a_person_approves(reports: Bundle) -> None:
    now = datetime.now(UTC)
    spend(reports, 6.5, now.replace(hour=0, minute=0, second=0, microsecond=1))
    reports.control.scenario("mediocre")  # nothing critical: the fallback rule retrains nothing
    report = reports.run(COST)
    result = report.xcom("result")
    assert report.state == "success", report.story
    assert result["report"]["alerts"][0] == "🚨 CRITICAL: Daily cost $6.50 exceeds $5.00 limit!"
    assert result["gpt4_switched_off"] is True
    (alert,) = mails(reports, "GPT-4 is switched off")
    assert "$6.50" in alert["text"]
    assert any("$6.50" in str(sent["payload"]) for sent in reports.control.messages("slack"))

    analysis, first = (
        reports.start(ANALYSIS, {"force_analysis": True}),
        reports.start(SWITCH, {"reason": "the loop is repaired"}),
    )
    refused = answer(reports, SWITCH, first, "Reject")
    asked = reports.finish(ANALYSIS, analysis)
    assert asked.state == "success", asked.story
    assert asked.xcom("result")["status"] == "fallback"
    assert "GPT-4 is switched off: Daily cost $6.50" in asked.xcom("result")["error"]
    assert reports.control.requests("openai_api", "/v1/chat/completions") == []
    assert refused.state == "success", refused.story
    assert refused.xcom("result")["outcome"] == "refused"
    assert refused.xcom("result")["refused_by"] == "admin"
    assert refused.xcom("result")["on"] is False
    assert refused.tasks["switch_on"] == "skipped"
    assert len(mails(reports, "GPT-4 stays switched off")) == 1

    second = reports.start(SWITCH, {"reason": "the loop is repaired"})
    approved = answer(reports, SWITCH, second, "Approve")
    assert approved.state == "success", approved.story
    assert approved.xcom("result")["outcome"] == "switched_on"
    assert approved.xcom("result")["approved_by"] == "admin"
    history = list(reports.db[collections.GPT4_SWITCH_HISTORY].find().sort("version", 1))
    assert [row["on"] for row in history] == [False, True]
    assert history[0]["by"] == f"{COST}/{report.run_id}"
    assert history[0]["evidence"]["today_usd"] == 6.5
    assert history[1]["reason"] == "the loop is repaired"
    assert history[1]["by"].startswith("admin")

    # The approval holds: the next look does not take it back. A third run has nothing to approve.
    pause_watch(reports, False)
    watch, third = reports.start(WATCH), reports.start(SWITCH, {"reason": "once more"})
    watched = reports.finish(WATCH, watch)
    assert watched.state == "success", watched.story
    assert watched.xcom("check")["gpt4_on"] is True
    assert "approved by a person" in watched.xcom("check")["alerts"][0]
    on_already = reports.finish(SWITCH, third)
    assert on_already.state == "success", on_already.story
    assert on_already.xcom("result")["outcome"] == "already_on"
    assert on_already.tasks["approve"] == "skipped"


def test_the_watch_turns_readings_of_the_ai_service_into_spending(reports: Bundle) -> None:
    reports.control.ai_state(costs={"requests": 100, "cost_usd": 1.0})
    pause_watch(reports, False)
    first = reports.run(WATCH)
    reports.control.ai_state(costs={"requests": 140, "cost_usd": 7.5})
    second = reports.run(WATCH)
    assert (first.state, second.state) == ("success", "success"), second.story
    assert first.xcom("check")["today_usd"] == 0
    assert second.xcom("check")["today_usd"] == pytest.approx(6.5)
    assert second.xcom("check")["gpt4_on"] is False
    assert len(mails(reports, "GPT-4 is switched off")) == 1
