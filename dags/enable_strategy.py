"""# Enable strategy

Lets a strategy trade again that was disabled; a person has to approve it, with the evidence before their eyes.

- **When:** on demand, with a reason. `strategy_name=book` takes the halt of all new entries back.
- **The approval** waits under *Required Actions* and holds no slot: who stopped it and why, the figures then, since
  then and now. No answer within `TRADING_OPS_APPROVAL_TIMEOUT_H` is a refusal.
- **Approved:** the record changes in the approver's name, the engine is told and read back, a message is sent. The
  watchdog then judges only trades that close from that moment on.
- **Refused:** it stays disabled; the history and a message say who refused.
- **Fails** without retries when it is not disabled, when it was stopped again after the case was written, or when the
  engine cannot be told (the record is changed then).

Nothing else enables a strategy.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from dags.wiring.approval import approval
from dags.wiring.defaults import watchman_defaults
from dags.wiring.emergency import RETRIES, RETRY_DELAYS_S, notify_unless_told
from dags.wiring.params import dag_params
from dags.wiring.retry import retries
from include.settings import get_settings
from include.tasks_api.params.risk import EnableStrategyParams


@dag(
    dag_id="enable_strategy",
    description="Lets a disabled strategy trade again, once a person has approved it.",
    schedule=None,
    params=dag_params(EnableStrategyParams),
    tags=["risk", "on-demand"],
    dagrun_timeout=timedelta(hours=get_settings().approval_timeout_h + 1),
    doc_md=__doc__,
    **watchman_defaults("RiskOfficer"),
)
def enable_strategy() -> None:
    """Wire the DAG."""

    @task
    def review(**context: Any) -> str:
        """Write down the case: the record, the figures then and now."""
        from dags.wiring.enabling import case_for

        return case_for(context)

    @task(multiple_outputs=False, on_failure_callback=notify_unless_told, **retries(RETRIES, RETRY_DELAYS_S))
    def enable(case: str, **context: Any) -> dict[str, Any]:
        """Change the record, tell the engine, read back."""
        from dags.wiring.enabling import enable_now

        return enable_now(case, context)

    # A refusal skips the acting task before it.
    @task(trigger_rule="none_failed", multiple_outputs=False)
    def result(**context: Any) -> dict[str, Any]:
        """Return what became of it; say a refusal."""
        from dags.wiring.enabling import end

        return end(context)

    case = review()
    approve = approval("Enable {{ params.strategy_name }} again?", "{{ ti.xcom_pull(task_ids='review') }}")
    enabled = enable(case)
    case >> approve >> enabled >> result()


enable_strategy()
