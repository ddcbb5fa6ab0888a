"""# Emergency strategy disable

Stops one or several strategies at once. One task, so that nothing comes between the trigger and the engine:

1. the kill-switch record (`kill_switch`, and a row in `kill_switch_history`); while MongoDB is away, the spool,
2. the engine: `POST /api/strategies/{name}/disable`, all strategies at the same time,
3. `GET /api/strategies/active` is read back,
4. a CRITICAL alert.

- **When:** started by `strategy_watchdog`, or by hand. `strategy_name` takes several names separated by commas.
- **Open positions** are left to complete. Nothing enables a strategy again but a person, through `enable_strategy`.
- **Again:** a second run leaves the record as it is, tells the engine again, and says that it was disabled already.
- **Fails** when the engine has no such endpoint (404, 405: the shipped engine) or refuses: without retries, with an
  alert that the strategy **still trades** and what can be done. An engine that is away, slow or answers nonsense is
  asked again after 1, 3 and 6 seconds, then the same alert follows.
- **Result:** the XCom `return_value`, in both cases; `strategy_disabled` is false when nothing was disabled.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from dags.wiring.defaults import watchman_defaults
from dags.wiring.emergency import RETRIES, RETRY_DELAYS_S, notify_unless_told
from dags.wiring.params import dag_params
from dags.wiring.retry import retries
from include.tasks_api.params.risk import EmergencyDisableParams

EMERGENCY_POOL = "emergency"
"""A pool of its own: not even the other watchmen hold it up."""
BEFORE_ALL_OTHERS = 100


@dag(
    dag_id="emergency_strategy_disable",
    description="Stops failing strategies at once: record, engine, verification, alert.",
    schedule=None,
    params=dag_params(EmergencyDisableParams),
    tags=["risk", "on-demand"],
    dagrun_timeout=timedelta(minutes=15),
    doc_md=__doc__,
    **watchman_defaults("RiskOfficer", "Trader"),
)
def emergency_strategy_disable() -> None:
    """Wire the DAG."""

    @task(
        multiple_outputs=False,
        pool=EMERGENCY_POOL,
        priority_weight=BEFORE_ALL_OTHERS,
        execution_timeout=timedelta(minutes=3),
        on_failure_callback=notify_unless_told,
        **retries(RETRIES, RETRY_DELAYS_S),
    )
    def disable(**context: Any) -> dict[str, Any]:
        """Record, tell the engine, read back, alert."""
        from dags.wiring.emergency import disable_now

        return disable_now(context)

    disable()


emergency_strategy_disable()
