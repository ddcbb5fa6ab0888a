"""# Sweep leases

Ends claims ("this network is being trained") whose runs are over, and finishes the audit rows of killed tasks.

- **When:** every 10 minutes, beside the scheduler: it needs no broker.
- **Asks Airflow** whether the run that holds a claim still runs. If it does, the claim stays, whatever any clock says.
- **Result:** what was ended, as XCom.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from dags.wiring.defaults import watchman_defaults
from dags.wiring.params import dag_params, run_params
from include.tasks_api.params.storage import SweepLeasesParams


@dag(
    dag_id="sweep_leases",
    description="Ends claims whose runs are over; finishes the audit rows of killed tasks.",
    schedule="*/10 * * * *",
    params=dag_params(SweepLeasesParams),
    tags=["storage", "scheduled"],
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=30),
    doc_md=__doc__,
    **watchman_defaults("MLAdmin"),
)
def sweep_leases() -> None:
    """Wire the DAG."""

    @task(multiple_outputs=False)
    def end_claims(**context: Any) -> dict[str, Any]:
        """End the claims of runs that are over."""
        from dags.wiring.runtime import database, owner_is_over
        from include.store.lease_sweep import sweep_leases

        run_params(SweepLeasesParams, context)
        return {"ended": sweep_leases(database(), owner_is_over(context))}

    @task(multiple_outputs=False)
    def finish_audit_rows(**context: Any) -> dict[str, Any]:
        """Mark the rows of tasks that were killed without a word."""
        from datetime import UTC, datetime

        from dags.wiring.runtime import database, owner_is_over
        from include.audit.abandoned import finish_abandoned

        return {"killed": finish_abandoned(database(), owner_is_over(context), datetime.now(UTC))}

    end_claims()
    finish_audit_rows()


sweep_leases()
