"""# Replay dead letters

A run that has used up its retries leaves a dead letter in `dead_letters`: DAG, conf, failed tasks with their errors and
attempts, who started it, when. This DAG starts such runs again, as new runs with the same conf.

- **When:** on demand. It only *shows* what it would do unless `dry_run` is off: in the XCom and the log of `show`.
- **Which:** the named letters, or all waiting ones, narrowed down by DAG and time.
- **New run:** `replay__<old run id>` (then `replay__2__...`), started once, whatever happens to this run. The letter is
  `replayed` then and names it. A replay that fails makes a letter of its own, which names its origin.
- **Refused**, in words: a DAG that is gone or paused; a run that was repeated by other means (its letter is dismissed);
  a conf of which secrets were blacked out - that run has to be started by hand.
- **Dismissed** letters (runs that a person marked failed) are replayed only when they are named.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Label, dag, task

from dags.wiring import dead_letters as steps
from dags.wiring.children import TriggerAsGiven
from dags.wiring.defaults import watchman_defaults
from dags.wiring.params import dag_params
from include.tasks_api.params.storage import ReplayDeadLettersParams


@dag(
    dag_id="replay_dead_letters",
    description="Starts failed runs again, from their dead letters; shows first what it would do.",
    schedule=None,
    params=dag_params(ReplayDeadLettersParams),
    tags=["storage", "on-demand"],
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=1),
    doc_md=__doc__,
    **watchman_defaults("MLAdmin"),
)
def replay_dead_letters() -> None:
    """Wire the DAG."""

    @task(multiple_outputs=False)
    def plan(**context: Any) -> list[dict[str, Any]]:
        """Look at every letter that is asked for, and decide."""
        return steps.plan_replay(context)

    @task.branch
    def is_it_meant(**context: Any) -> str:
        """Only show, unless the dry run is switched off."""
        from dags.wiring.params import run_params

        return "show" if run_params(ReplayDeadLettersParams, context).dry_run else "choose_runs"

    @task(multiple_outputs=False)
    def show(planned: list[dict[str, Any]]) -> dict[str, Any]:
        """Return what would be started, and what not and why."""
        return steps.shown(planned)

    @task(multiple_outputs=False)
    def choose_runs(planned: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the runs to start."""
        return steps.runs_to_start(planned)

    # Some may fail, and none may be there to start: what became of each is asked of Airflow.
    @task(trigger_rule="all_done", multiple_outputs=False)
    def confirm(planned: list[dict[str, Any]], **context: Any) -> dict[str, Any]:
        """Mark the letters whose runs exist now; skipped in a dry run."""
        return steps.confirm_replay(planned, context)

    planned = plan()
    branch = is_it_meant()
    chosen = choose_runs(planned)
    started = TriggerAsGiven.partial(
        task_id="start_runs",
        logical_date=None,
        skip_when_already_exists=True,
        fail_when_dag_is_paused=True,
        priority_weight=1,  # hundreds of them must not hold up the health check, with which they share the pool
    ).expand_kwargs(chosen)
    planned >> branch
    branch >> Label("dry run") >> show(planned)
    branch >> Label("start them") >> chosen
    started >> confirm(planned)


replay_dead_letters()
