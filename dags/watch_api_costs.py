"""# Watch the API costs

Reads the AI service's cost counters and looks whether a critical limit is exceeded. If so, it switches GPT-4 off and
alerts at once, instead of at 09:00.

- **When:** four times an hour, the last time at 23:58 UTC: what the counters hold then belongs to that day.
- **Result:** one reading in `api_cost_history`; the figures as XCom.
- **Says nothing** unless it has switched GPT-4 off. An AI service that does not answer is not its business: the health
  check says that.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from dags.wiring.defaults import dag_defaults
from dags.wiring.params import dag_params
from include.tasks_api.params.reports import CostWatchParams


@dag(
    dag_id="watch_api_costs",
    description="Reads the AI service's cost counters; a critical cost switches GPT-4 off at once.",
    schedule="13,28,43,58 * * * *",
    params=dag_params(CostWatchParams),
    tags=["monitoring", "scheduled"],
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=30),
    doc_md=__doc__,
    **dag_defaults("scheduled", "MLAdmin", "RiskOfficer"),
)
def watch_api_costs() -> None:
    """Wire the DAG."""

    @task(multiple_outputs=False)
    def check(**context: Any) -> dict[str, Any]:
        """Read, keep, judge, and act."""
        from dags.wiring.costs import check

        return check(context)

    check()


watch_api_costs()
