"""A cancellation between the scheduler's looks at a run and at its tasks, with Airflow's own code and database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from include.audit.rows import RUN_OVER
from ops.run_dir import REPOSITORY

DAGS = """
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
with DAG("cancelled", schedule=None):
    EmptyOperator(task_id="train") >> EmptyOperator(task_id="result")
"""
STORY = """
import json, sys
from datetime import UTC, datetime
from airflow.api.common.mark_tasks import set_dag_run_state_to_failed
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.settings import engine
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from airflow.models.dagbundle import DagBundleModel
from airflow.listeners.listener import get_listener_manager
from sqlalchemy.orm import sessionmaker

Session = sessionmaker(engine)  # Airflow's own is one per thread; the scheduler and the API server have one each

with Session() as session:
    session.add(DagBundleModel(name="here"))
    session.commit()
sync_bag_to_db(DagBag(sys.argv[1], bundle_name="here"), "here", None)
dag = SerializedDagModel.get_dag("cancelled")


def start(run_id):
    at = datetime(2026, 3, 14, tzinfo=UTC)
    with Session() as session:
        run = dag.create_dagrun(
            run_id=run_id, logical_date=None, run_type=DagRunType.MANUAL, run_after=at, state=DagRunState.RUNNING,
            triggered_by=DagRunTriggeredByType.REST_API, session=session,
        )
        run.get_task_instance("train", session=session).set_state(TaskInstanceState.RUNNING, session=session)
        session.commit()


def of(run_id, session):
    run = session.query(DagRun).filter(DagRun.run_id == run_id).one()
    run.dag = dag
    return run


def cancel(run_id):
    with Session() as session:
        set_dag_run_state_to_failed(dag=dag, run_id=run_id, commit=True, session=session)
        session.commit()


def ends_by_itself(run_id):
    with Session() as session:
        for task in of(run_id, session).get_task_instances(session=session):
            task.set_state(TaskInstanceState.SUCCESS, session=session)
        session.commit()


def looked_at(run_id, meanwhile):
    start(run_id)
    with Session() as scheduler:
        run = of(run_id, scheduler)
        assert run.state == DagRunState.RUNNING
        meanwhile(run_id)
        run.update_state(session=scheduler, execute_callbacks=False)
        scheduler.commit()


def marked_by_a_person(run_id):
    start(run_id)
    cancel(run_id)
    with Session() as session:
        run = of(run_id, session)
        run.set_state(DagRunState.SUCCESS)
        get_listener_manager().hook.on_dag_run_success(dag_run=run, msg="")
        session.commit()


looked_at("cancelled", cancel)
looked_at("ended", ends_by_itself)
marked_by_a_person("marked")
with Session() as session:
    print("\\n" + json.dumps({name: of(name, session).state for name in ("cancelled", "ended", "marked")}))
"""


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The end states of three runs by their ids, and what the audit rows say of them (`noted`)."""
    home: Path = tmp_path_factory.mktemp("airflow")
    (home / "dags").mkdir()
    (home / "dags" / "cancelled.py").write_text(DAGS)
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPOSITORY / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": str(REPOSITORY),
        "TRADING_OPS_STATE_DIR": str(home / "state"),
    }
    migrated = _run(["-m", "airflow", "db", "migrate"], environment)
    assert migrated.returncode == 0, migrated.stderr
    told = _run(["-c", STORY, str(home / "dags")], environment)
    assert told.returncode == 0, told.stdout + told.stderr
    states: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])
    lines = [json.loads(line) for file in (home / "state").rglob("*.jsonl") for line in file.read_text().splitlines()]
    return {**states, "noted": {line["run_id"]: line["state"] for line in lines if line.get("kind") == RUN_OVER}}


def _run(arguments: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=240, check=False
    )


def test_a_run_that_was_cancelled_while_the_scheduler_looked_at_it_stays_failed(story: dict[str, Any]) -> None:
    assert story["cancelled"] == "failed"
    assert story["noted"].get("cancelled") != "success"


def test_a_run_that_ends_by_itself_succeeds_and_a_person_may_mark_a_failed_one(story: dict[str, Any]) -> None:
    assert (story["ended"], story["marked"]) == ("success", "success")
    assert story["noted"]["ended"] == story["noted"]["marked"] == "success"
