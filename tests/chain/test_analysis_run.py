"""`gpt4_self_analysis` as Airflow runs it: every branch, with recorded answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.analyst.ledger import CostLedger
from include.settings import Settings
from include.store import collections
from tests.chain.answers import verdict
from tests.chain.conftest import Bundle, RunView

pytestmark = pytest.mark.slow

DAG = "gpt4_self_analysis"
CHAT = "/v1/chat/completions"
RETRAIN_WAY = ("plan_retraining", "trigger_adaptive_retrain", "confirm_retraining")


def requests_sent(bundle: Bundle) -> int:
    return len(bundle.control.requests("openai_api", CHAT))


def stored(bundle: Bundle, run: RunView) -> dict[str, Any]:
    document = bundle.db[collections.GPT4_ANALYSIS_HISTORY].find_one({"_id": run.run_id})
    assert document is not None
    return document


def retraining_of(run: RunView) -> str:
    return f"retrain_BTCUSDT__{run.run_id}"


def assert_nothing_retrained(bundle: Bundle, run: RunView) -> None:
    assert run.ended(*RETRAIN_WAY) <= {"skipped", "upstream_failed"}
    assert not bundle.exists("adaptive_retrain", retraining_of(run))
    assert stored(bundle, run)["retrain_triggered"] is False


def score(bundle: Bundle, model_type: str, accuracies: list[float]) -> None:
    """Write a champion's scores of the last days, the newest last."""
    today = datetime.now(UTC)
    for days_ago, accuracy in enumerate(reversed(accuracies)):
        at = today - timedelta(days=days_ago)
        bundle.db[collections.MODEL_SCORES].insert_one(
            {
                "_id": f"{model_type}@{at:%Y-%m-%d}",
                "timestamp": at,
                "date": f"{at:%Y-%m-%d}",
                "model_type": model_type,
                "symbol": "BTCUSDT",
                "timeframe": "1h",
                "model_id": f"{model_type}-1",
                "accuracy": accuracy,
                "baseline_accuracy": 0.69,
                "skill": accuracy - 0.69,
                "bars": 300,
            }
        )


def test_tc_async_060_acceptable_performance_is_not_analysed(bundle: Bundle) -> None:
    bundle.control.scenario("good")
    run = bundle.run(DAG)
    assert run.state == "success", run.story
    assert run.xcom("result")["status"] == "skipped"
    assert run.xcom("result")["reason"] == "Performance is acceptable"
    assert requests_sent(bundle) == 0
    assert run.ended("ask_gpt4", "decide_without_judge", "store_analysis") == {"skipped"}


def test_tc_async_051_and_061_a_forced_analysis_may_find_that_nothing_is_needed(bundle: Bundle) -> None:
    bundle.control.scenario("good")
    bundle.control.answers(
        verdict("NO_RETRAINING", urgency="low", reasoning="All models are performing above threshold.")
    )
    run = bundle.run(DAG, {"force_analysis": True})
    result = run.xcom("result")
    assert run.state == "success", run.story
    assert result["status"] == "success"
    assert result["analysis"]["recommendation"] == "wait"
    assert result["analysis"]["recommendation_raw"] == "NO_RETRAINING"
    assert "performing above threshold" in result["analysis"]["reasoning"].lower()
    assert requests_sent(bundle) == 1
    assert_nothing_retrained(bundle, run)


def test_tc_async_052_an_accuracy_drop_alone_retrains_that_network(bundle: Bundle) -> None:
    bundle.control.scenario("mediocre")
    score(bundle, "lstm", [0.68, 0.66, 0.63, 0.60])
    score(bundle, "gru", [0.71, 0.71, 0.71, 0.71])
    bundle.control.answers(
        verdict("RETRAIN_LSTM", confidence=0.88, model_types=["lstm"], reasoning="LSTM accuracy dropped to 60%.")
    )
    run = bundle.run(DAG)
    analysis = run.xcom("result")["analysis"]
    assert run.state == "success", run.story
    assert analysis["recommendation_raw"] == "RETRAIN_LSTM"
    assert analysis["confidence"] >= 0.75
    assert analysis["urgency"] == "high"
    assert "60%" in analysis["reasoning"]
    assert analysis["retrain_triggered"] is True
    assert analysis["retrain_task_id"] == retraining_of(run)
    document = stored(bundle, run)
    assert document["retrain_triggered"] is True
    assert document["retrain_task_id"] == retraining_of(run)
    retraining = bundle.finish("adaptive_retrain", retraining_of(run))
    assert retraining.state == "success", retraining.story
    assert list(retraining.xcom("report")["models"]) == ["lstm"]
    assert retraining.ended("gru.train", "transformer.train") == {"skipped"}
    sent = bundle.control.requests("openai_api", CHAT)[0]["body"]
    assert "LSTM" in str(sent)
    assert "60" in str(sent)


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"confidence": 0.69}, "0.69"), ({"urgency": "low"}, "low")],
    ids=["confidence_just_below", "low_urgency"],
)
def test_a_retraining_without_confidence_or_urgency_is_only_logged(
    bundle: Bundle, changes: dict[str, Any], why: str
) -> None:
    bundle.control.scenario("losing")
    bundle.control.answers(verdict("retrain", **changes))
    run = bundle.run(DAG)
    analysis = run.xcom("result")["analysis"]
    assert run.state == "success", run.story
    assert analysis["recommendation"] == "retrain"
    assert analysis["decision"]["retrain"] is False
    assert why in analysis["decision"]["reason"]
    assert_nothing_retrained(bundle, run)


@pytest.mark.long
def test_tc_async_053_an_unreachable_judge_is_asked_three_times_and_then_the_fallback_rule_decides(
    bundle: Bundle,
) -> None:
    bundle.control.scenario("losing")
    bundle.control.script("openai_api", CHAT, delay_s=4)
    run = bundle.run(DAG)
    assert run.state == "failed", run.story
    assert run.tasks["ask_gpt4"] == "failed"
    assert run.tasks["decide_after_failed_call"] == "success"
    assert requests_sent(bundle) == 3
    document = stored(bundle, run)
    assert document["status"] == "fallback"
    assert document["judge"] == "none"
    assert "No judge was asked" in document["reasoning"]
    assert document["retrain_triggered"] is True
    assert bundle.exists("adaptive_retrain", retraining_of(run))
    assert {message["severity"] for message in bundle.messages(run.run_id)} & {"error", "critical"}
    costs = list(bundle.db[collections.GPT4_COSTS].find({"task_id": run.run_id}))
    assert len(costs) == 3
    # What a retraining does is shown by others: this one need not train three networks.
    bundle.client.cancel("adaptive_retrain", retraining_of(run))
    bundle.finish("adaptive_retrain", retraining_of(run))


def test_tc_async_054_an_answer_malformed_twice_is_an_error_that_keeps_both_texts(bundle: Bundle) -> None:
    bundle.control.scenario("losing")
    bundle.control.answers("This is not valid JSON", "Still not { valid")
    run = bundle.run(DAG)
    assert run.state == "failed", run.story
    assert run.tries["ask_gpt4"] == 1
    assert requests_sent(bundle) == 2
    document = stored(bundle, run)
    assert document["status"] == "error"
    assert document["full_analysis"]["raw_answers"] == ["This is not valid JSON", "Still not { valid"]
    assert_nothing_retrained(bundle, run)


def test_an_answer_in_fences_after_a_malformed_one_is_repaired(bundle: Bundle) -> None:
    bundle.control.scenario("losing")
    bundle.control.answers("Sure!", f"Here you are:\n```json\n{verdict('wait', urgency='low')}\n```\nGood luck!")
    run = bundle.run(DAG)
    assert run.state == "success", run.story
    assert requests_sent(bundle) == 2
    assert run.xcom("result")["analysis"]["recommendation"] == "wait"


def test_tc_async_055_every_request_is_in_the_ledger_with_its_tokens_and_cost(bundle: Bundle) -> None:
    bundle.control.scenario("losing")
    content = verdict("wait", urgency="low")
    bundle.control.answers({"content": content, "prompt_tokens": 500, "completion_tokens": 200})
    run = bundle.run(DAG)
    (entry,) = bundle.db[collections.GPT4_COSTS].find({"task_id": run.run_id})
    assert entry["total_tokens"] == 700
    assert entry["cost_usd"] == pytest.approx((500 * 2.5 + 200 * 10) / 1e6)
    assert run.xcom("result")["cost_usd"] == pytest.approx(entry["cost_usd"])
    assert CostLedger(bundle.db, Settings()).spent_today_usd() == pytest.approx(entry["cost_usd"])


def test_a_spent_budget_leads_to_the_fallback_rule_without_a_call(bundle: Bundle) -> None:
    settings = Settings()
    CostLedger(bundle.db, settings).reserve("earlier", "test", settings.openai_model, 4.9999)
    bundle.control.scenario("mediocre")
    score(bundle, "lstm", [0.60])
    run = bundle.run(DAG)
    result = run.xcom("result")
    assert run.state == "success", run.story
    assert run.tasks["decide_without_judge"] == "success"
    assert requests_sent(bundle) == 0
    assert result["status"] == "fallback"
    assert "daily budget" in result["error"]
    assert_nothing_retrained(bundle, run)


def test_the_sixth_call_of_an_hour_is_not_made(bundle: Bundle) -> None:
    settings = Settings()
    for _ in range(5):
        CostLedger(bundle.db, settings).reserve("earlier", "test", settings.openai_model, 0.001)
    bundle.control.scenario("mediocre")
    run = bundle.run(DAG, {"force_analysis": True})
    result = run.xcom("result")
    assert run.state == "success", run.story
    assert requests_sent(bundle) == 0
    assert result["status"] == "fallback"
    assert "5 times in the last hour" in result["error"]
    assert_nothing_retrained(bundle, run)


def test_the_scheduled_run_skips_a_finding_that_has_been_analysed(bundle: Bundle) -> None:
    bundle.control.scenario("losing")
    bundle.control.answers(verdict("wait", urgency="low"))
    first, second = bundle.run(DAG), bundle.run(DAG)
    assert first.xcom("result")["status"] == "success"
    assert second.xcom("result")["status"] == "skipped"
    assert requests_sent(bundle) == 1
