"""# Strategy watchdog

Looks at every strategy's closed trades and stops the one that loses too much.

- **When:** every 5 minutes, or on demand.
- **Figures:** per strategy, for the trades without a strategy's name (`unattributed`) and for the whole book: loss
  since 00:00 UTC in percent of the equity then, losses in a row, win rate of the last 20 trades.
- **Disables** (through `emergency_strategy_disable`, all at once, once per situation) what meets a condition: more than
  10 % daily loss, more than 10 losses in a row, less than 30 % wins. A strategy that a person has enabled again is
  judged only on trades that closed since.
- **Tells the engine again** what the record says when a disabled strategy is active: an engine forgets at a restart.
- **The whole book** in such a state disables nothing by itself: a CRITICAL alert and, with a lever configured, the
  approval task of `halt_new_entries`. Unchanged, it is said again every hour.
- **Writes** the engine's balance and equity to `equity_history`.
- **Fails** when the trades cannot be read, after two retries: a check that did not happen is not green. It is said
  once, again every hour, and when it is over. While MongoDB is away it still judges and disables.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from dags.wiring.children import TriggerAsGiven
from dags.wiring.defaults import watchman_defaults
from dags.wiring.params import dag_params
from dags.wiring.retry import retries
from dags.wiring.strategy_watch import RETRIES, notify_blind
from dags.wiring.watcher import fail_when_any_failed
from include.tasks_api.params.risk import StrategyWatchdogParams


@dag(
    dag_id="strategy_watchdog",
    description="Judges every strategy's trades every five minutes; disables what loses too much.",
    schedule="*/5 * * * *",
    params=dag_params(StrategyWatchdogParams),
    tags=["risk", "monitoring", "scheduled"],
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=15),
    doc_md=__doc__,
    **watchman_defaults("RiskOfficer"),
)
def strategy_watchdog() -> None:
    """Wire the DAG."""

    @task(
        execution_timeout=timedelta(minutes=2),
        on_failure_callback=notify_blind,
        **retries(RETRIES),
    )
    def check(**context: Any) -> list[dict[str, Any]]:
        """Read the engine and judge; return the runs to start, leave the figures as XCom `checked`."""
        from dags.wiring.strategy_watch import CHECKED_KEY, look

        checked = look(context)
        context["ti"].xcom_push(CHECKED_KEY, checked)
        runs: list[dict[str, Any]] = checked["runs"]
        return runs

    @task(trigger_rule="all_done", multiple_outputs=False)
    def tell(**context: Any) -> dict[str, Any]:
        """Send what has to be said, once the strategies are taken care of."""
        from dags.wiring.strategy_watch import CHECKED_KEY, say

        return say(context["ti"].xcom_pull(task_ids="check", key=CHECKED_KEY))

    runs = check()
    # The conf holds names and ids that the engine has written: nothing of it may be rendered.
    started = TriggerAsGiven.partial(
        task_id="start_runs",
        logical_date=None,
        skip_when_already_exists=True,
        fail_when_dag_is_paused=True,
        priority_weight=100,
    ).expand_kwargs(runs)
    told = tell()
    started >> told
    fail_when_any_failed([runs, started])


strategy_watchdog()
