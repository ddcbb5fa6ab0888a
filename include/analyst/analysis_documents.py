"""The result and the stored document of a GPT-4 self-analysis, key by key as specified.

Both come in four kinds: judged (`success`), `skipped`, `fallback` (no judge could be asked) and `error` (the judge's
answer was unusable). `retrain_triggered` is False in all of them: it becomes true by
:func:`include.analyst.history.mark_retrain_triggered` once the child run exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from include.analyst.evidence import finding_key
from include.analyst.prompt import PROMPT_VERSION

if TYPE_CHECKING:
    from include.analyst.decision import Decision
    from include.analyst.errors import AnswerError
    from include.analyst.evidence import Evidence
    from include.analyst.judge import Judgement

VERDICT_KEYS = (
    "recommendation",
    "recommendation_raw",
    "model_types",
    "confidence",
    "urgency",
    "reasoning",
    "suggested_actions",
    "estimated_improvement",
)


def judged_result(
    task_id: str, judgement: Judgement, decision: Decision, evidence: Evidence, reasons: Sequence[str]
) -> dict[str, Any]:
    """Return the result of a run whose judge gave a verdict."""
    answer = judgement.answer
    analysis = {
        **_verdict(decision, reasons),
        "recommendation": answer.recommendation,
        "recommendation_raw": answer.recommendation_raw,
        "model_types": list(answer.model_types),
        "confidence": answer.confidence,
        "reasoning": answer.reasoning,
        "urgency": answer.urgency,
        "suggested_actions": list(answer.suggested_actions),
        "estimated_improvement": answer.estimated_improvement,
    }
    return {
        **_result("success", task_id, analysis, decision, evidence),
        "cost_usd": judgement.cost_usd,
        "requests": judgement.requests,
        "total_tokens": judgement.usage.total_tokens,
        "model": judgement.model,
        "prompt_version": PROMPT_VERSION,
        "prompt_sha256": judgement.prompt_sha256,
        "schema_sha256": judgement.schema_sha256,
        "raw_answers": [judgement.raw],
    }


def fallback_result(task_id: str, decision: Decision, evidence: Evidence, reasons: Sequence[str]) -> dict[str, Any]:
    """Return the result of a run that could ask no judge and followed the fallback rule."""
    analysis = {
        **_verdict(decision, reasons),
        "recommendation": "retrain" if decision.retrain else "wait",
        "recommendation_raw": None,
        "model_types": list(decision.model_types),
        "confidence": None,
        "reasoning": decision.reason,
        "urgency": "high" if decision.retrain else "low",
        "suggested_actions": ["Make GPT-4 available again and force a new analysis"],
        "estimated_improvement": "N/A - no judge was asked",
    }
    return _result("fallback", task_id, analysis, decision, evidence)


def error_result(
    task_id: str, error: AnswerError, decision: Decision, evidence: Evidence, reasons: Sequence[str]
) -> dict[str, Any]:
    """Return the result of a run whose judge answered unusably, with the raw answers."""
    analysis = {
        **_verdict(decision, reasons),
        "recommendation": None,
        "recommendation_raw": None,
        "model_types": [],
        "confidence": None,
        "reasoning": decision.reason,
        "urgency": None,
        "suggested_actions": [],
        "estimated_improvement": None,
    }
    return {
        **_result("error", task_id, analysis, decision, evidence),
        "error": str(error),
        "error_kind": error.kind,
        "raw_answers": list(error.raw_answers),
        "requests": error.requests,
        "cost_usd": error.cost_usd,
        "prompt_version": PROMPT_VERSION,
    }


def skipped_result(task_id: str, reason: str, evidence: Evidence) -> dict[str, Any]:
    """Return the result of a run that needed no verdict."""
    return {
        "status": "skipped",
        "task_id": task_id,
        "reason": reason,
        "finding_key": finding_key(evidence),
        "cost_usd": 0.0,
    }


def analysis_document(result: dict[str, Any], evidence: Evidence, timestamp: datetime) -> dict[str, Any]:
    """Return the document for `gpt4_analysis_history` (`_id` is the task id), from any of the results above.

    :param timestamp: aware UTC.
    """
    analysis = result.get("analysis", {})
    return {
        "_id": result["task_id"],
        "task_id": result["task_id"],
        "timestamp": timestamp,
        "status": result["status"],
        **{key: analysis.get(key) for key in VERDICT_KEYS},
        "retrain_triggered": False,
        "retrain_task_id": None,
        "retrain_task_ids": [],
        "finding_key": result["finding_key"],
        "judge": result.get("judge", "none"),
        "cost_usd": result["cost_usd"],
        "prompt_sha256": result.get("prompt_sha256"),
        "full_analysis": result,
        "evidence": evidence.model_dump(mode="json"),
    }


def _verdict(decision: Decision, reasons: Sequence[str]) -> dict[str, Any]:
    return {
        "reasons": list(reasons),
        "decision": decision.model_dump(mode="json"),
        "retrain_triggered": False,
        "retrain_task_id": None,
    }


def _result(
    status: str, task_id: str, analysis: dict[str, Any], decision: Decision, evidence: Evidence
) -> dict[str, Any]:
    return {
        "status": status,
        "task_id": task_id,
        "analysis": analysis,
        "judge": decision.judge,
        "finding_key": finding_key(evidence),
        "cost_usd": 0.0,
    }
