"""# Daily performance analysis

Measures the last seven days of the bot's closed trades and, when a figure is critical, starts
`gpt4_self_analysis` at once.

- **When:** 01:00 UTC, or on demand.
- **Figures:** win rate (target 70 %, critical below 55 %), average profit per trade (2.6 %, 1.5 %), Sharpe
  ratio of daily returns (2.1, 1.0). Fewer than 10 trades are not judged.
- **Result:** in `performance_metrics`, as XCom of `result`, and as a message with the trend of the seven days.
- **Fails** when the engine cannot be reached or answers nonsense after three retries; nothing is stored then.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Label, dag, task

from dags.wiring.children import trigger_child
from dags.wiring.defaults import dag_defaults
from dags.wiring.params import dag_params, run_params
from include.tasks_api.params.reports import PerformanceAnalysisParams


@dag(
    dag_id="daily_performance_analysis",
    description="Measures the last seven days of trades; critical figures start the GPT-4 self-analysis.",
    schedule="0 1 * * *",
    params=dag_params(PerformanceAnalysisParams),
    tags=["monitoring", "scheduled"],
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=1),
    doc_md=__doc__,
    **dag_defaults("scheduled", "MLAdmin", "RiskOfficer"),
)
def daily_performance_analysis() -> None:
    """Wire the DAG."""

    @task(multiple_outputs=False)
    def measure(**context: Any) -> dict[str, Any]:
        """Fetch the closed trades and compute the figures of the last seven days."""
        from datetime import UTC, datetime

        from dags.wiring.runtime import engine
        from include.trading.performance import HISTORY, analyse

        run_params(PerformanceAnalysisParams, context)
        now = datetime.now(UTC)
        return analyse(engine().closed_trades(since=now - HISTORY), now).model_dump(mode="json")

    @task
    def store(analysis: dict[str, Any], **context: Any) -> str:
        """Store the figures in `performance_metrics`; while MongoDB is away they wait in the spool."""
        from dags.wiring.performance import store

        return store(analysis, context)

    @task.branch
    def is_anything_critical(analysis: dict[str, Any]) -> list[str]:
        """Choose the way: a critical figure asks for an analysis, anything else only for a summary."""
        if analysis["trigger_ai_analysis"]:
            return ["notify_degradation", "trigger_gpt4_self_analysis", "confirm_gpt4_self_analysis"]
        return ["notify_summary"]

    def notify(analysis: dict[str, Any], **context: Any) -> dict[str, Any] | None:
        """Send the summary of the figures with its trend chart."""
        from dags.wiring.performance import notify

        return notify(analysis, context)

    # An existing child makes the trigger skip: the branch before it decides.
    @task(trigger_rule="none_failed_min_one_success")
    def confirm_gpt4_self_analysis(analysis: dict[str, Any], **context: Any) -> str:
        """Make sure that the analysis run exists, and record its id."""
        from dags.wiring.performance import confirm_child

        return confirm_child(analysis, context)

    @task(trigger_rule="none_failed_min_one_success", multiple_outputs=False)
    def result(analysis: dict[str, Any], **context: Any) -> dict[str, Any]:
        """Return the result of the run as specified."""
        from include.trading.performance_documents import performance_result
        from include.trading.performance_model import PerformanceAnalysis

        child = context["ti"].xcom_pull(task_ids="confirm_gpt4_self_analysis")
        answer = performance_result(PerformanceAnalysis.model_validate(analysis), context["run_id"])
        return {**answer, "gpt4_analysis_triggered": child is not None, "gpt4_task_id": child}

    measured = measure()
    branch = is_anything_critical(measured)
    degradation = task(task_id="notify_degradation")(notify)(measured)
    summary = task(task_id="notify_summary")(notify)(measured)
    trigger = trigger_child(
        "trigger_gpt4_self_analysis", "gpt4_self_analysis", {"triggered_by": "{{ run_id }}"}, prefix="gpt4"
    )
    confirm = confirm_gpt4_self_analysis(measured)

    store(measured) >> branch
    branch >> Label("critical") >> [degradation, trigger, confirm]
    branch >> Label("good, warning, or too few trades") >> summary
    trigger >> confirm
    [degradation, confirm, summary] >> result(measured)


daily_performance_analysis()
