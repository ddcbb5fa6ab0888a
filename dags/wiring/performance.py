"""The steps of `daily_performance_analysis` that keep and tell what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dags.wiring.children import existing_child
from dags.wiring.params import run_params
from include.tasks_api.params.reports import PerformanceAnalysisParams
from include.tasks_api.run_ids import child_run_id

Context = Mapping[str, Any]


def store(analysis: dict[str, Any], context: Context) -> str:
    """Keep the figures in `performance_metrics`, or in the spool while MongoDB is away."""
    from dags.wiring.storage import keep
    from include.store.collections import PERFORMANCE_METRICS

    keep(context, PERFORMANCE_METRICS, _document(analysis, context))
    return str(context["run_id"])


def notify(analysis: dict[str, Any], context: Context) -> dict[str, Any] | None:
    """Send the summary with its trend chart; return the state per channel."""
    from dags.wiring.runtime import send
    from include.charts.trend import trend_chart
    from include.notify.reports.performance import performance_message
    from include.trading.performance_model import PerformanceAnalysis

    if not run_params(PerformanceAnalysisParams, context).notify:
        return None
    measured = PerformanceAnalysis.model_validate(analysis)
    return send(performance_message(measured, context["run_id"], trend_chart(measured.daily)))


def confirm_child(analysis: dict[str, Any], context: Context) -> str:
    """Record the analysis run, once Airflow says that it exists, and return its id.

    Figures that wait in the spool are kept once more, with the run's id: the later document wins.
    """
    from dags.wiring.runtime import database
    from dags.wiring.storage import keep, stored_by_now
    from include.errors import ServiceUnavailableError, TransientError
    from include.store.collections import PERFORMANCE_METRICS
    from include.trading.performance_documents import mark_gpt4_triggered

    child = child_run_id("gpt4", context["run_id"])
    if not existing_child(context["ti"], "gpt4_self_analysis", child):
        raise TransientError(f"gpt4_self_analysis has no run {child} although it was triggered")
    try:
        marked = mark_gpt4_triggered(stored_by_now(database()), context["run_id"], child)
    except ServiceUnavailableError:
        marked = False
    if not marked:
        changes = {"gpt4_analysis_triggered": True, "gpt4_task_id": child}
        keep(context, PERFORMANCE_METRICS, _document(analysis, context) | changes)
    return child


def _document(analysis: dict[str, Any], context: Context) -> dict[str, Any]:
    from include.trading.performance_documents import performance_document
    from include.trading.performance_model import PerformanceAnalysis

    return performance_document(PerformanceAnalysis.model_validate(analysis), context["run_id"])
