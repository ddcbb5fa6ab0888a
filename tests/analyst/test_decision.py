"""The rule, the vetoes, the fallback, and the documents that remember them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo.database import Database

from include.analyst.accuracy import MODEL_TYPES
from include.analyst.analysis_documents import analysis_document, judged_result
from include.analyst.answer import parse_answer
from include.analyst.decision import decide, fallback, hard_vetoes, undecided
from include.analyst.errors import AnswerError
from include.analyst.evidence import reasons_to_analyse
from include.analyst.judge import ask
from include.analyst.ledger import CostLedger
from include.analyst.prompt import PROMPT_VERSION, build_messages
from include.settings import Settings
from include.store.collections import GPT4_ANALYSIS_HISTORY
from tests.analyst.evidence_parts import GOOD, POOR, evidence_of
from tests.analyst.openai_answers import completion, verdict
from tests.trading.engine_answers import NOW
from tests.trading.loopback import LoopbackServer

POOR_EVIDENCE = evidence_of(POOR)
GOOD_EVIDENCE = evidence_of(GOOD)
FEW_EVIDENCE = evidence_of([(1, 4, 1.0, -5.0)], {"lstm": [0.60]})


def test_tc_async_051_no_retraining_is_recorded_and_nothing_is_queued(
    openai_server: LoopbackServer, settings: Settings, ledger: CostLedger, db: Database[dict[str, Any]]
) -> None:
    reasoning = "All models performing above target threshold (70%)."
    raw = verdict(
        recommendation="NO_RETRAINING", urgency="low", reasoning=reasoning, model_types=..., suggested_actions=...
    )
    openai_server.script(completion(raw, prompt_tokens=1500, completion_tokens=300))
    judgement = ask(settings, build_messages(GOOD_EVIDENCE), ledger, "run-1")
    reasons = reasons_to_analyse(GOOD_EVIDENCE, force=True)
    result = judged_result(
        "run-1", judgement, decide(judgement.answer, GOOD_EVIDENCE, settings, forced=True), GOOD_EVIDENCE, reasons
    )
    analysis = result["analysis"]
    assert result["status"] == "success"
    assert (analysis["recommendation"], analysis["recommendation_raw"]) == ("wait", "NO_RETRAINING")
    assert analysis["confidence"] >= 0.70
    assert analysis["retrain_triggered"] is False
    assert analysis["retrain_task_id"] is None
    assert result["cost_usd"] == pytest.approx(1500 * 2.5e-6 + 300 * 10e-6)
    document = analysis_document(result, GOOD_EVIDENCE, NOW)
    db[GPT4_ANALYSIS_HISTORY].replace_one({"_id": document["_id"]}, document, upsert=True)
    assert db[GPT4_ANALYSIS_HISTORY].count_documents({"task_id": "run-1"}) == 1


@pytest.mark.critical
def test_tc_async_052_low_accuracy_alone_retrains_that_model(
    openai_server: LoopbackServer, settings: Settings, ledger: CostLedger
) -> None:
    days = [(6, 4, 6.5, -1.0), (6, 4, 6.0, -1.2), (5, 4, 6.6, -1.1), (6, 4, 6.2, -1.3)]
    evidence = evidence_of(days, {"lstm": [0.60], "gru": [0.71], "transformer": [0.72]})
    assert evidence.performance.critical_metrics == ()
    assert reasons_to_analyse(evidence, force=False) == ("LSTM on BTCUSDT 1h accuracy 60.0% is below 65%",)
    reasoning = "LSTM accuracy dropped to 60%, below 65% threshold."
    raw = verdict(
        recommendation="RETRAIN_LSTM", confidence=0.88, model_types=..., suggested_actions=..., reasoning=reasoning
    )
    openai_server.script(completion(raw))
    judgement = ask(settings, build_messages(evidence), ledger, "run-1")
    decision = decide(judgement.answer, evidence, settings)
    assert (decision.retrain, decision.model_types) == (True, ("lstm",))
    analysis = judged_result("run-1", judgement, decision, evidence, ())["analysis"]
    assert (analysis["recommendation_raw"], analysis["urgency"]) == ("RETRAIN_LSTM", "high")


def test_tc_async_053_fallback_retrains_when_two_metrics_are_critical_and_says_that_no_judge_was_asked() -> None:
    decision = fallback(POOR_EVIDENCE, "GPT-4 did not answer in 30 s")
    assert (decision.retrain, decision.model_types, decision.judge) == (True, MODEL_TYPES, "none")
    assert decision.reason.startswith("No judge was asked (GPT-4 did not answer in 30 s); 3 of 3 metrics critical")


@pytest.mark.parametrize("evidence", [GOOD_EVIDENCE, FEW_EVIDENCE, evidence_of([(3, 4, 9.5, -1.0), (3, 4, 9.1, -1.1)])])
def test_fallback_keeps_the_models_below_two_critical_metrics(evidence: Any) -> None:
    assert len(evidence.performance.critical_metrics) < 2
    decision = fallback(evidence, "no key")
    assert (decision.retrain, decision.model_types) == (False, ())


@given(
    st.sampled_from(["retrain", "wait", "optimize_parameters"]),
    st.floats(0, 1),
    st.sampled_from(["low", "medium", "high"]),
    st.sampled_from([POOR_EVIDENCE, GOOD_EVIDENCE, FEW_EVIDENCE]),
    st.booleans(),
)
def test_retrains_exactly_when_rule_and_vetoes_allow_it(
    recommendation: str, confidence: float, urgency: str, evidence: Any, forced: bool
) -> None:
    raw = verdict(recommendation=recommendation, confidence=confidence, urgency=urgency, suggested_actions=[])
    decision = decide(parse_answer(raw), evidence, Settings(retrain_min_confidence=0.7), forced=forced)
    rule = recommendation == "retrain" and confidence >= 0.7 and urgency != "low"
    allowed = evidence is POOR_EVIDENCE or (evidence is GOOD_EVIDENCE and forced)
    assert decision.retrain == (rule and allowed)
    assert bool(decision.vetoes) == (rule and not allowed)
    assert bool(decision.model_types) == decision.retrain
    assert decision.reason


def test_vetoes_are_named() -> None:
    assert hard_vetoes(GOOD_EVIDENCE, forced=False) == ("nothing_wrong",)
    assert hard_vetoes(GOOD_EVIDENCE, forced=True) == ()
    assert hard_vetoes(FEW_EVIDENCE, forced=True) == ("too_few_trades",)
    assert hard_vetoes(POOR_EVIDENCE, forced=False) == ()


def test_confidence_needed_is_a_setting() -> None:
    answer = parse_answer(verdict(confidence=0.85))
    assert not decide(answer, POOR_EVIDENCE, Settings(retrain_min_confidence=0.9)).retrain


@pytest.mark.parametrize(("kind", "veto"), [("contradictory", "contradictory_answer"), ("not_json", "unusable_answer")])
def test_unusable_answer_moves_nothing(kind: Any, veto: str) -> None:
    decision = undecided(AnswerError(kind, "it says two things", "raw"))
    assert (decision.retrain, decision.vetoes, decision.judge) == (False, (veto,), "gpt4")


def test_document_has_the_specified_keys(openai_server: LoopbackServer, settings: Settings, ledger: CostLedger) -> None:
    openai_server.script(completion(verdict()))
    judgement = ask(settings, build_messages(POOR_EVIDENCE), ledger, "run-1")
    result = judged_result("run-1", judgement, decide(judgement.answer, POOR_EVIDENCE, settings), POOR_EVIDENCE, ())
    document = analysis_document(result, POOR_EVIDENCE, NOW)
    specified = {
        "_id", "timestamp", "task_id", "recommendation", "confidence", "urgency", "reasoning", "suggested_actions",
        "estimated_improvement", "retrain_triggered", "retrain_task_id", "full_analysis",
    }  # fmt: skip
    assert specified <= set(document)
    assert (document["_id"], document["recommendation"], document["cost_usd"]) == ("run-1", "retrain", 0.00325)
    assert document["prompt_sha256"] == judgement.prompt_sha256
    assert (result["prompt_version"], result["schema_sha256"]) == (PROMPT_VERSION, judgement.schema_sha256)
    assert result["raw_answers"] == [verdict()]
