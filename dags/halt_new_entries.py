"""# Halt new entries

The blunt lever: stops **all new entries of every strategy**, for an engine that cannot disable a single one. A person
has to approve it. Open positions keep their stops and complete; the engine itself is never stopped, because its monitor
of stop-loss and take-profit would stop with it.

- **When:** started by `strategy_watchdog` when the whole book meets a condition, or by hand.
- **Off by default:** `TRADING_OPS_BLUNT_LEVER` names the lever: `both_directions` (short-only and long-only mode at
  once) or `min_confidence` (1.0). Without it the run fails and says so.
- **Approved:** the former values and the approver go into the kill-switch record `book`, the lever is pulled and read
  back, a CRITICAL message is sent. `enable_strategy` with `strategy_name=book` takes it back.
- **Again:** when the engine has forgotten it (a restart), the watchdog pulls it again without asking.
- **Fails** when the engine does not take it, after quick retries, with a CRITICAL message.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Label, dag, task

from dags.wiring.approval import approval
from dags.wiring.defaults import watchman_defaults
from dags.wiring.emergency import RETRIES, RETRY_DELAYS_S, notify_unless_told
from dags.wiring.params import dag_params
from dags.wiring.retry import retries
from include.settings import get_settings
from include.tasks_api.params.risk import HaltNewEntriesParams


@dag(
    dag_id="halt_new_entries",
    description="Stops all new entries of every strategy, once a person has approved it.",
    schedule=None,
    params=dag_params(HaltNewEntriesParams),
    tags=["risk", "on-demand"],
    dagrun_timeout=timedelta(hours=get_settings().approval_timeout_h + 1),
    doc_md=__doc__,
    **watchman_defaults("RiskOfficer"),
)
def halt_new_entries() -> None:
    """Wire the DAG."""

    @task.branch
    def is_approval_needed(**context: Any) -> str:
        """Choose: ask a person, or do again what was approved before."""
        from dags.wiring.halting import way

        return way(context)

    @task(
        trigger_rule="none_failed_min_one_success",
        multiple_outputs=False,
        on_failure_callback=notify_unless_told,
        **retries(RETRIES, RETRY_DELAYS_S),
    )
    def halt(**context: Any) -> dict[str, Any]:
        """Record, pull the lever, read back."""
        from dags.wiring.halting import halt_now

        return halt_now(context)

    # A refusal skips the acting task before it.
    @task(trigger_rule="none_failed", multiple_outputs=False)
    def result(**context: Any) -> dict[str, Any]:
        """Return what became of it; say a refusal."""
        from dags.wiring.halting import end

        return end(context)

    needed = is_approval_needed()
    approve = approval(
        "Stop all new entries of every strategy?", "{{ ti.xcom_pull(task_ids='is_approval_needed', key='case') }}"
    )
    halted = halt()
    needed >> Label("ask a person") >> approve >> halted
    needed >> Label("approved before, undone by a restart") >> halted
    halted >> result()


halt_new_entries()
