"""# Daily portfolio report

Says every morning how the bot's portfolio stands: balance, return, closed trades, win rate, average profit, what
yesterday brought, and the realised balance of the last 30 days as a chart.

- **When:** 08:00 UTC, or on demand.
- **From** the engine's portfolio and its closed trades. What the engine does not say is missing in the report, with
  the reason; where its two answers contradict each other, the report says so.
- **Result:** in `portfolio_reports`, as XCom of `result`, and as a message.
- **Fails** after the report was sent when the engine has not given both answers (one retry). Cleared once the engine
  is back, the run sends a complete report.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from dags.wiring.defaults import dag_defaults
from dags.wiring.params import dag_params
from dags.wiring.portfolio import ENGINE_RETRIES
from dags.wiring.retry import retries
from include.tasks_api.params.reports import PortfolioReportParams


@dag(
    dag_id="daily_portfolio_report",
    description="Says how the bot's portfolio stands: balance, return, trades, yesterday, equity chart.",
    schedule="0 8 * * *",
    params=dag_params(PortfolioReportParams),
    tags=["monitoring", "scheduled"],
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=1),
    doc_md=__doc__,
    **dag_defaults("scheduled", "Trader", "MLAdmin", "RiskOfficer"),
)
def daily_portfolio_report() -> None:
    """Wire the DAG."""

    @task(multiple_outputs=False, **retries(ENGINE_RETRIES))
    def measure(**context: Any) -> dict[str, Any]:
        """Read the engine and compute the report."""
        from dags.wiring.portfolio import measure

        return measure(context)

    @task
    def store(report: dict[str, Any], **context: Any) -> str:
        """Store the report; while MongoDB is away it waits in the spool."""
        from dags.wiring.portfolio import store

        return store(report, context)

    @task(multiple_outputs=False)
    def notify(report: dict[str, Any], **context: Any) -> dict[str, str] | None:
        """Send the report with its chart."""
        from dags.wiring.portfolio import notify

        return notify(report, context)

    @task(multiple_outputs=False)
    def result(report: dict[str, Any], **context: Any) -> dict[str, Any]:
        """Return the result of the run as specified."""
        from dags.wiring.portfolio import result

        return result(report, context)

    # The report itself has said what is missing: no second message.
    @task(on_failure_callback=None)
    def require_complete(report: dict[str, Any]) -> None:
        """Fail the run when the engine has not given both answers."""
        from dags.wiring.portfolio import require_complete

        require_complete(report)

    measured = measure()
    [store(measured), notify(measured)] >> result(measured) >> require_complete(measured)


daily_portfolio_report()
