"""What a retraining run has to say: result document, history document, alert level and text.

Pure functions from the branches' outcomes; whatever happened to a branch, its model has an entry with
every key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from include.errors import BadInputError

AlertLevel = Literal["INFO", "WARNING", "CRITICAL"]
Status = Literal["success", "partial", "failed"]


@dataclass(frozen=True)
class ModelOutcome:
    """How one branch ended.

    `training` is `run_training`'s result and `judgement` is `judge`'s, each None if the branch did not get so
    far; `error` and `error_type` say why.
    """

    model_type: str
    training: Mapping[str, Any] | None = None
    judgement: Mapping[str, Any] | None = None
    deployed: bool = False
    error: str | None = None
    error_type: str | None = None


@dataclass(frozen=True)
class RetrainRun:
    """The run that is reported on."""

    task_id: str
    symbol: str
    timeframe: str
    trigger: str
    analysis_reasoning: str
    finished_at: datetime


def build_result(run: RetrainRun, outcomes: Sequence[ModelOutcome]) -> dict[str, Any]:
    """Return the result document of an adaptive retraining, JSON-able.

    `status` is `success` when every requested model was trained and judged, `partial` when some were and
    `failed` when none was. Improvements are differences of accuracy on the same bars.

    :raises BadInputError: without any outcome.
    """
    if not outcomes:
        raise BadInputError(f"Nothing to report on {run.task_id}: no model type was asked for; name at least one")
    models = {outcome.model_type: model_entry(outcome) for outcome in outcomes}
    successful = sum(entry["status"] == "success" for entry in models.values())
    status: Status = "success" if successful == len(models) else "partial" if successful else "failed"
    return {
        "status": status,
        "symbol": run.symbol,
        "timeframe": run.timeframe,
        "results": {
            "timestamp": _iso(run.finished_at),
            "trigger": run.trigger,
            "analysis_reasoning": run.analysis_reasoning,
            "models": models,
        },
        "summary": {
            "successful_retrains": successful,
            "deployed_models": sum(entry["deployed"] for entry in models.values()),
            "total_improvement": _total_improvement(models),
        },
        "models": models,
        "alert_level": alert_level(models),
        "task_id": run.task_id,
        "timestamp": _iso(run.finished_at),
    }


def model_entry(outcome: ModelOutcome) -> dict[str, Any]:
    """Return one model's part of the result; what is not known is None, never missing.

    `new_accuracy`, `baseline_accuracy`, `skill` and `bars` are those of the bars on which `old_accuracy` was
    measured; without a comparison they are the hold-out's.
    """
    training, judgement = outcome.training or {}, outcome.judgement or {}
    comparison: Mapping[str, Any] = judgement.get("comparison") or {}
    holdout: Mapping[str, Any] = judgement.get("holdout") or _holdout_of(training)
    new: Mapping[str, Any] = comparison.get("candidate") or holdout
    old_accuracy = (comparison.get("champion") or {}).get("accuracy")
    new_accuracy = new.get("accuracy")
    improvement = None if old_accuracy is None or new_accuracy is None else round(new_accuracy - old_accuracy, 6)
    failed = outcome.error is not None or not judgement
    return {
        "status": "failed" if failed else "success",
        "old_accuracy": old_accuracy,
        "new_accuracy": new_accuracy,
        "improvement": improvement,
        "baseline_accuracy": new.get("baseline_accuracy"),
        "skill": new.get("skill"),
        "skill_interval": _interval(new),
        "edge": new.get("edge"),
        "bars": new.get("bars"),
        "holdout_accuracy": holdout.get("accuracy"),
        "comparison": comparison.get("status"),
        "deployed": outcome.deployed,
        "reason": _reason(outcome, judgement),
        "model_id": judgement.get("candidate_id") or training.get("model_id"),
        "old_model_id": comparison.get("champion_model_id"),
        "error": outcome.error,
        "error_type": outcome.error_type,
    }


def alert_level(models: Mapping[str, Mapping[str, Any]]) -> AlertLevel:
    """CRITICAL when nothing was deployed; WARNING when a model failed or a champion is unreadable; else INFO."""
    entries = list(models.values())
    if not any(entry["deployed"] for entry in entries):
        return "CRITICAL"
    troubled = any(entry["status"] != "success" or entry["comparison"] == "champion_unreadable" for entry in entries)
    return "WARNING" if troubled else "INFO"


def run_succeeded(result: Mapping[str, Any]) -> bool:
    """Return whether the run may end as a success: no requested model failed (keeping an old one is no failure)."""
    return bool(result["status"] == "success")


def history_document(run: RetrainRun, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document of `retrain_history`; `_id` is the task id, so that a retry overwrites it."""
    return {
        "_id": run.task_id,
        "timestamp": run.finished_at,
        "task_id": run.task_id,
        "symbol": run.symbol,
        "timeframe": run.timeframe,
        "trigger_type": run.trigger,
        "trigger_data": {"analysis_reasoning": run.analysis_reasoning},
        "models": result["models"],
        "successful_count": result["summary"]["successful_retrains"],
        "deployed_count": result["summary"]["deployed_models"],
        "full_results": dict(result),
    }


def report_text(result: Mapping[str, Any]) -> str:
    """Return the report as plain text: what happened, per model old and new accuracy, and why."""
    models: Mapping[str, Mapping[str, Any]] = result["models"]
    summary = result["summary"]
    asked = f"{result['results']['trigger']} ({result['results']['analysis_reasoning'] or 'no reason given'})"
    lines = [
        f"Retraining of {result['symbol']} {result['timeframe']}: {summary['deployed_models']} of {len(models)} "
        f"models deployed, {summary['successful_retrains']} trained ({summary['total_improvement']})",
        f"Asked for by: {asked}",
    ]
    for model_type, entry in models.items():
        lines += ["", f"{model_type}: {entry['reason']}"]
        if entry["new_accuracy"] is not None:
            lines.append(f"  {_numbers(entry)}")
    lines += ["", f"Run: {result['task_id']}"]
    return "\n".join(lines)


def _numbers(entry: Mapping[str, Any]) -> str:
    old = "none" if entry["old_accuracy"] is None else f"{entry['old_accuracy']:.3f}"
    parts = [f"accuracy old {old}, new {entry['new_accuracy']:.3f}"]
    if entry["improvement"] is not None:
        parts.append(f"improvement {entry['improvement'] * 100:+.1f} points")
    if entry["baseline_accuracy"] is not None:
        parts.append(f"baseline {entry['baseline_accuracy']:.3f}")
    if entry["skill"] is not None:
        low, high = entry["skill_interval"] or (None, None)
        interval = f" [{low:+.3f}, {high:+.3f}]" if low is not None and high is not None else ""
        parts.append(f"skill {entry['skill']:+.3f}{interval}")
    parts.append("edge shown" if entry["edge"] else "no edge shown")
    if entry["bars"] is not None:
        parts.append(f"{entry['bars']} bars")
    return ", ".join(parts)


def _reason(outcome: ModelOutcome, judgement: Mapping[str, Any]) -> str:
    if outcome.error is not None or not judgement:
        stage = "deployment" if judgement else "comparison" if outcome.training else "training"
        why = outcome.error or "it did not run"
        if outcome.deployed:
            return f"deployed, but the branch failed afterwards: {why}"
        return f"not deployed: {stage} failed: {why}; the champion stays"
    reason: str = judgement["verdict"]["reason"]
    if judgement["verdict"]["deploy"] and not outcome.deployed:
        return "not deployed: the verdict was to deploy, but the deployment did not run"
    return reason


def _holdout_of(training: Mapping[str, Any]) -> dict[str, Any]:
    results: Mapping[str, Any] = training.get("training_results") or {}
    if not results:
        return {}
    low, high = results.get("skill_interval") or (None, None)
    same = {key: results.get(key) for key in ("baseline_accuracy", "skill", "edge", "bars")}
    return {"accuracy": results.get("val_accuracy"), "skill_low": low, "skill_high": high, **same}


def _interval(evaluation: Mapping[str, Any]) -> list[float] | None:
    low, high = evaluation.get("skill_low"), evaluation.get("skill_high")
    return None if low is None or high is None else [low, high]


def _total_improvement(models: Mapping[str, Mapping[str, Any]]) -> str:
    deployed = [entry for entry in models.values() if entry["deployed"]]
    if not deployed:
        return "none: no model deployed"
    gains = [entry["improvement"] * 100 for entry in deployed if entry["improvement"] is not None]
    if not gains:
        return "not comparable: first models deployed"
    return f"{sum(gains) / len(gains):+.1f}".removesuffix(".0") + "% avg accuracy"


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
