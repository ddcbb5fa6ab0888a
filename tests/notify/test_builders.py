"""What people read: the messages about performance, verdict, retraining and failures."""

from __future__ import annotations

from typing import Any

import pytest

from include.analyst.analysis_documents import error_result, fallback_result, skipped_result
from include.analyst.decision import fallback, undecided
from include.analyst.errors import AnswerError
from include.analyst.history import with_retrain
from include.notify.failure import failure_message
from include.notify.gpt4_analysis import analysis_message
from include.notify.message import Severity
from include.notify.reports.performance import performance_message
from include.notify.retrain_complete import retrain_message
from include.trading.performance import analyse
from include.trading.trades import parse_trades
from tests.analyst.evidence_parts import GOOD, POOR, evidence_of
from tests.trading.engine_answers import NOW, week

POOR_EVIDENCE = evidence_of(POOR)


def test_tc_async_041_degradation_is_said_critically_with_its_alerts() -> None:
    message = performance_message(POOR_EVIDENCE.performance, "run-1")
    assert message.severity == Severity.CRITICAL
    assert "🔴 CRITICAL: Win rate 47.9% below 55% threshold!" in message.body
    assert "GPT-4 is asked" in message.body
    assert message.fields["Win Rate"] == "47.9%"
    assert message.dedupe_key == "performance:run-1"
    assert message.created_at == NOW


def test_tc_async_040_good_week_is_information() -> None:
    message = performance_message(analyse(parse_trades(week(*GOOD)), NOW), "run-1")
    assert message.severity == Severity.INFO
    assert "GOOD" in message.title
    assert "All metrics are on target." in message.body


def test_too_few_trades_are_said_as_such() -> None:
    message = performance_message(analyse([], NOW), "run-1")
    assert message.severity == Severity.INFO
    assert "Not enough data: 0 trades" in message.body
    assert message.fields["Sharpe Ratio"] == "n/a"


def success(retrain: bool) -> dict[str, Any]:
    return {
        "status": "success",
        "task_id": "run-1",
        "cost_usd": 0.0123,
        "analysis": {
            "recommendation": "retrain" if retrain else "wait",
            "recommendation_raw": "RETRAIN_LSTM" if retrain else "NO_RETRAINING",
            "confidence": 0.88,
            "urgency": "high",
            "reasoning": "LSTM accuracy dropped to 60%",
            "suggested_actions": ["Retrain the LSTM"],
            "estimated_improvement": "8-12%",
            "reasons": ["win_rate is critical"],
            "decision": {"retrain": retrain, "model_types": ["lstm"] if retrain else [], "reason": "because"},
        },
    }


def test_verdict_to_retrain_warns_and_names_models_and_runs() -> None:
    message = analysis_message(with_retrain(success(True), ["child-1", "child-2"]))
    assert message.severity == Severity.WARNING
    assert message.title == "GPT-4 self-analysis: retrain lstm"
    assert "LSTM accuracy dropped to 60%" in message.body
    assert message.fields["Confidence"] == "88%"
    assert message.fields["Retraining run"] == "child-1, child-2"
    assert message.fields["Cost"] == "$0.0123"


def test_verdict_to_wait_is_information() -> None:
    message = analysis_message(success(False))
    assert message.severity == Severity.INFO
    assert message.title == "GPT-4 self-analysis: models kept"
    assert "Retraining run" not in message.fields


def test_fallback_says_that_no_judge_was_asked() -> None:
    result = fallback_result("run-1", fallback(POOR_EVIDENCE, "OPENAI_API_KEY is not configured"), POOR_EVIDENCE, ())
    message = analysis_message(result)
    assert message.severity == Severity.ERROR
    assert "no judge was asked, retrain lstm, gru, transformer" in message.title
    assert "OPENAI_API_KEY is not configured" in message.body


def test_unusable_answer_is_an_error() -> None:
    error = AnswerError("not_json", "it holds no JSON object", "nonsense")
    message = analysis_message(error_result("run-1", error, undecided(error), POOR_EVIDENCE, ()))
    assert message.severity == Severity.ERROR
    assert "models kept" in message.title
    assert "it holds no JSON object" in message.body


def test_skipped_analysis_can_be_said_too() -> None:
    message = analysis_message(skipped_result("run-1", "Performance is acceptable", POOR_EVIDENCE))
    assert (message.severity, message.body) == (Severity.INFO, "Performance is acceptable")


def retrained(**entries: dict[str, Any]) -> dict[str, Any]:
    base = {
        "status": "success", "old_accuracy": 0.63, "new_accuracy": 0.71, "baseline_accuracy": 0.70, "skill": 0.01,
        "edge": False, "deployed": True, "reason": "deployed: better on the same bars",
    }  # fmt: skip
    models = {name: {**base, **changes} for name, changes in entries.items()}
    return {
        "status": "success",
        "task_id": "run-1",
        "symbol": "BTCUSDT",
        "timeframe": "1h",
        "timestamp": "2025-11-22T03:15:00Z",
        "models": models,
        "results": {"trigger": "gpt4_recommendation", "analysis_reasoning": "decay", "models": models},
        "summary": {"successful_retrains": 1, "deployed_models": 1, "total_improvement": "+8% avg accuracy"},
    }


def test_retraining_shows_before_and_after_and_that_no_edge_is_shown() -> None:
    message = retrain_message(retrained(lstm={}, gru={"deployed": False, "new_accuracy": 0.60, "skill": None}))
    assert message.severity == Severity.INFO
    assert message.title == "Retraining of BTCUSDT 1h: 1 of 2 deployed"
    assert message.fields["LSTM"] == "63.0% → 71.0%, baseline 70.0%, skill +1.0 points, no edge shown, deployed"
    assert message.fields["GRU"] == "63.0% → 60.0%, baseline 70.0%, no edge shown, kept the old one"
    assert message.created_at.isoformat() == "2025-11-22T03:15:00+00:00"


def test_first_model_has_no_accuracy_before() -> None:
    assert retrain_message(retrained(lstm={"old_accuracy": None})).fields["LSTM"].startswith("none → 71.0%")


@pytest.mark.parametrize(
    ("entries", "severity"),
    [
        ({"lstm": {"deployed": False}}, Severity.CRITICAL),
        ({"lstm": {"status": "failed", "error": "out of memory", "deployed": False}}, Severity.CRITICAL),
        ({"lstm": {}, "gru": {"status": "failed", "error": "out of memory", "deployed": False}}, Severity.WARNING),
        ({"lstm": {}, "gru": {}}, Severity.INFO),
    ],
)
def test_nothing_deployed_is_critical_and_a_failed_model_warns(entries: dict[str, Any], severity: Severity) -> None:
    assert retrain_message(retrained(**entries)).severity == severity


def test_level_of_the_report_is_followed() -> None:
    assert retrain_message({**retrained(lstm={}), "alert_level": "WARNING"}).severity == Severity.WARNING


def test_failed_task_is_an_error_once_per_task_and_shows_no_secret() -> None:
    message = failure_message("train_model", "run-1", "train", 2, ValueError("password=hunter2 " + "x" * 50_000))
    assert message.severity == Severity.ERROR
    assert message.dedupe_key == "failure:train_model:run-1:0:train[2]"
    again = [failure_message("train_model", "run-1", "train", attempt=attempt).dedupe_key for attempt in (3, 3, 4)]
    assert len(set(again)) == 2, "once for an attempt, again when the run was cleared and has failed again"
    hourly = {failure_message("replay_pending", run, "replay", once_per="13").dedupe_key for run in ("1", "2")}
    assert len(hourly) == 1, "a DAG of every minute is no message of every minute"
    assert "hunter2" not in str(message)
    assert len(message.body) <= 10_000
