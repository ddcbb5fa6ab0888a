"""The message about a GPT-4 self-analysis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from include.notify.message import Message, Severity


def analysis_message(result: Mapping[str, Any]) -> Message:
    """Return what was recommended, what follows and why, from any result of `include.analyst.analysis_documents`.

    Retraining warns; an analysis without a judge, or with an unusable answer, is an error that people should look at.
    """
    analysis: Mapping[str, Any] = result.get("analysis") or {}
    decision: Mapping[str, Any] = analysis.get("decision") or {}
    status = result["status"]
    retrain = bool(decision.get("retrain"))
    lines = [str(decision.get("reason") or result.get("reason") or "")]
    if status == "success" and analysis.get("reasoning"):
        lines += ["", str(analysis["reasoning"])]
    if analysis.get("suggested_actions"):
        lines += ["", "Suggested actions:", *(f"- {action}" for action in analysis["suggested_actions"])]
    if result.get("error"):
        lines += ["", f"Error: {result['error']}"]
    fields = {
        "Recommendation": analysis.get("recommendation_raw") or analysis.get("recommendation"),
        "Confidence": None if analysis.get("confidence") is None else f"{analysis['confidence']:.0%}",
        "Urgency": analysis.get("urgency"),
        "Models": ", ".join(decision.get("model_types") or ()),
        "Expected": analysis.get("estimated_improvement"),
        "Asked because": "; ".join(analysis.get("reasons") or ()),
        "Retraining run": ", ".join(result.get("retrain_task_ids") or ()) or analysis.get("retrain_task_id"),
        "Cost": f"${result.get('cost_usd') or 0:.4f}",
        "Run": result["task_id"],
    }
    return Message(
        severity=_severity(status, retrain),
        title=f"GPT-4 self-analysis: {_headline(status, retrain, decision)}",
        body="\n".join(lines).strip(),
        fields={name: str(value) for name, value in fields.items() if value},
        dedupe_key=f"gpt4_analysis:{result['task_id']}",
    )


def _severity(status: str, retrain: bool) -> Severity:
    if status in ("fallback", "error"):
        return Severity.ERROR
    return Severity.WARNING if retrain else Severity.INFO


def _headline(status: str, retrain: bool, decision: Mapping[str, Any]) -> str:
    if status == "skipped":
        return "skipped"
    if status == "error":
        return "the answer cannot be used, models kept"
    outcome = f"retrain {', '.join(decision.get('model_types') or ())}" if retrain else "models kept"
    return f"no judge was asked, {outcome}" if status == "fallback" else outcome
