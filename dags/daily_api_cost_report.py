"""# Daily API cost report

Says what GPT-4 and the bot's AI service have cost: today so far, yesterday as a whole, the month to date, by model and
by purpose, in tokens, USD and VND, with projections beside the limits.

- **When:** 09:00 UTC, or on demand.
- **From** the bundle's own ledger (`gpt4_costs`) and the counters of the AI service, read every 15 minutes by
  `watch_api_costs`. An AI service that does not answer is *not available*, never 0.
- **Limits:** a day above $2 (or heading there) warns, above $5 is critical; a month above $50 warns, above $100 is
  critical. Critical switches GPT-4 off; the DAG `enable_gpt4` switches it on again.
- **Result:** in `api_cost_history`, as XCom of `result`, and as a message.
- **Fails** when the ledger cannot be read after three retries: there is no figure without it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from dags.wiring.defaults import dag_defaults
from dags.wiring.params import dag_params
from include.tasks_api.params.reports import CostReportParams


@dag(
    dag_id="daily_api_cost_report",
    description="Says what the AI costs, beside its limits; a critical cost switches GPT-4 off.",
    schedule="0 9 * * *",
    params=dag_params(CostReportParams),
    tags=["monitoring", "scheduled"],
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=1),
    doc_md=__doc__,
    **dag_defaults("scheduled", "MLAdmin", "RiskOfficer"),
)
def daily_api_cost_report() -> None:
    """Wire the DAG."""

    @task(multiple_outputs=False)
    def measure(**context: Any) -> dict[str, Any]:
        """Add up the costs; when they are critical, switch GPT-4 off and alert at once."""
        from dags.wiring.costs import measure

        return measure(context)

    @task
    def store(measured: dict[str, Any], **context: Any) -> str:
        """Store the report; while MongoDB is away it waits in the spool."""
        from dags.wiring.costs import store

        return store(measured, context)

    @task(multiple_outputs=False)
    def notify(measured: dict[str, Any], **context: Any) -> dict[str, str] | None:
        """Send the report."""
        from dags.wiring.costs import notify

        return notify(measured, context)

    @task(multiple_outputs=False)
    def result(measured: dict[str, Any], **context: Any) -> dict[str, Any]:
        """Return the result of the run as specified."""
        from dags.wiring.costs import result

        return result(measured, context)

    measured = measure()
    [store(measured), notify(measured)] >> result(measured)


daily_api_cost_report()
