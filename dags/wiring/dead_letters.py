"""The steps of `replay_dead_letters` between Airflow and the letters."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from dags.wiring.children import existing_child
from dags.wiring.params import run_params
from include.tasks_api.params.storage import ReplayDeadLettersParams

log = logging.getLogger(__name__)
Context = Mapping[str, Any]
MAX_LETTERS = 500
"""Letters that one run replays at most."""


def plan_replay(context: Context) -> list[dict[str, Any]]:
    """Return what would be done about each letter that the params ask for; nothing is changed.

    :raises include.errors.BadInputError: for ids without a letter, or too many letters.
    """
    from datetime import datetime

    from dags.wiring.runtime import database
    from include.audit.dead_letters import DeadLetters
    from include.audit.replay_plan import plan

    params, ti = run_params(ReplayDeadLettersParams, context), context["ti"]
    since = datetime.fromisoformat(params.since) if params.since else None
    letters = DeadLetters(database()).select(list(params.ids), params.dag_id, since, MAX_LETTERS)

    def state_of(dag_id: str, run_id: str) -> str | None:
        return str(ti.get_dagrun_state(dag_id, run_id)) if existing_child(ti, dag_id, run_id) else None

    steps = plan(letters, lambda dag_id: _why_no_dag(ti, dag_id), state_of)
    for step in steps:
        log.info("%s: %s", step.letter, f"not replayed: {step.refused}" if step.refused else step.trigger_run_id)
    return [step.to_dict() for step in steps]


def runs_to_start(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the arguments of the triggers."""
    return [
        {"trigger_dag_id": step["dag_id"], "trigger_run_id": step["trigger_run_id"], "conf": step["conf"]}
        for step in steps
        if step["refused"] is None
    ]


def confirm_replay(steps: list[dict[str, Any]] | None, context: Context) -> dict[str, Any]:
    """Mark the letters whose runs exist now, and dismiss those whose runs were repeated by other means.

    :raises include.errors.TradingOpsError: naming the letters whose run could not be started; the others are marked.
    """
    from datetime import UTC, datetime

    from airflow.sdk.exceptions import AirflowSkipException

    from dags.wiring.runtime import database, triggering_user
    from include.audit.dead_letters import DeadLetters
    from include.errors import BadInputError, TradingOpsError

    if steps is None:
        raise BadInputError("there is no plan: see the task plan")
    if run_params(ReplayDeadLettersParams, context).dry_run:
        raise AirflowSkipException("a dry run starts nothing: see the task show")
    ti, letters, now = context["ti"], DeadLetters(database()), datetime.now(UTC)
    by = f"{triggering_user(context) or 'unknown user'} (replay_dead_letters/{context['run_id']})"
    started, missing = [], []
    for step in steps:
        if step["over"]:
            letters.dismiss(step["letter"], step["refused"], now)
        if step["refused"] is not None:
            continue
        if existing_child(ti, step["dag_id"], step["trigger_run_id"]):
            letters.mark_replayed(step["letter"], step["trigger_run_id"], by, now)
            started.append({"letter": step["letter"], "run": f"{step['dag_id']}:{step['trigger_run_id']}"})
        else:
            missing.append(step["letter"])
    if missing:
        raise TradingOpsError(
            f"no run was started for {', '.join(missing)} (see the red indexes of start_runs): correct what they say "
            "and replay again; the letters still wait"
        )
    return {"dry_run": False, "replayed": started, "not_replayed": _refused(steps)}


def shown(steps: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what a dry run has found."""
    would = [
        {"letter": step["letter"], "run": f"{step['dag_id']}:{step['trigger_run_id']}"}
        for step in steps
        if step["refused"] is None
    ]
    return {"dry_run": True, "would_replay": would, "not_replayed": _refused(steps)}


def _refused(steps: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [{"letter": step["letter"], "why": step["refused"]} for step in steps if step["refused"] is not None]


def _why_no_dag(ti: Any, dag_id: str) -> str | None:
    """Ask Airflow whether runs of a DAG can be started."""
    from airflow.sdk.exceptions import AirflowRuntimeError

    from include.settings import BUNDLE_ROOT

    try:
        dag = ti.get_dag(dag_id)
    except AirflowRuntimeError as error:
        if (error.error.detail or {}).get("status_code") != HTTPStatus.NOT_FOUND:
            raise
        return f"there is no DAG {dag_id} any more"
    # Airflow still answers about a DAG whose file is gone.
    if dag.relative_fileloc and not (BUNDLE_ROOT / dag.relative_fileloc).is_file():
        return f"the DAG {dag_id} is gone: there is no file {dag.relative_fileloc} any more"
    if dag.is_paused:
        return f"the DAG {dag_id} is paused: unpause it first"
    return None
