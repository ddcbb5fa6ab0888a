"""The result and the stored document of a performance analysis, key by key as specified."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from include.store.collections import PERFORMANCE_METRICS
from include.store.outage import mongo_outage
from include.trading.performance_model import PerformanceAnalysis

if TYPE_CHECKING:
    from pymongo.database import Database


def performance_result(analysis: PerformanceAnalysis, task_id: str) -> dict[str, Any]:
    """Return the result of the run: `analysis` nested, `metrics` and `gpt4_analysis_triggered` at the top.

    `gpt4_analysis_triggered` is False until :func:`mark_gpt4_triggered`: a flag is no child run.
    """
    shown = analysis.model_dump(mode="json")
    metrics = shown["metrics"]
    result: dict[str, Any] = {
        "status": analysis.status,
        "task_id": task_id,
        "analysis": {
            "date": shown["date"],
            "metrics": metrics,
            "performance": shown["grades"],
            "alerts": shown["alerts"],
            "trigger_ai_analysis": analysis.trigger_ai_analysis,
            "overall": analysis.overall,
            "daily": shown["daily"],
            "window_start": shown["window_start"],
            "window_end": shown["window_end"],
        },
        "metrics": metrics,
        "gpt4_analysis_triggered": False,
        "gpt4_task_id": None,
    }
    if analysis.reason is not None:
        result["reason"] = analysis.reason
    return result


def performance_document(analysis: PerformanceAnalysis, task_id: str) -> dict[str, Any]:
    """Return the document for `performance_metrics`; `_id` is the task id, so a retry overwrites."""
    shown = analysis.model_dump(mode="json")
    metrics = analysis.metrics
    return {
        "_id": task_id,
        "task_id": task_id,
        "timestamp": analysis.window_end,
        "date": analysis.date.isoformat(),
        "status": analysis.status,
        "reason": analysis.reason,
        "total_trades": metrics.total_trades,
        "win_rate": metrics.win_rate,
        "avg_profit_per_trade": metrics.avg_profit_per_trade,
        "sharpe_ratio": metrics.sharpe_ratio,
        "performance_status": shown["grades"],
        "overall": analysis.overall,
        "alerts": shown["alerts"],
        "trigger_ai_analysis": analysis.trigger_ai_analysis,
        "gpt4_analysis_triggered": False,
        "gpt4_task_id": None,
        "full_metrics": {**shown["metrics"], "daily": shown["daily"]},
    }


def mark_gpt4_triggered(db: Database[dict[str, Any]], task_id: str, gpt4_task_id: str) -> bool:
    """Record that the analysis run exists; to be called only once it does. Returns whether the document was found.

    :raises include.errors.ServiceUnavailableError: while MongoDB is away.
    """
    changes = {"gpt4_analysis_triggered": True, "gpt4_task_id": gpt4_task_id}
    with mongo_outage(f"recording the analysis that run {task_id} has triggered"):
        answer = db[PERFORMANCE_METRICS].update_one({"_id": task_id}, {"$set": changes})
    return answer.matched_count == 1
