"""A check that does not finish is said by Airflow's deadline alert, whose callback runs in the triggerer."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.definitions.callback import AsyncCallback
from pymongo.database import Database

from dags.system_health_check import system_health_check
from dags.wiring.health import say_unfinished
from include.settings import get_settings
from include.store.collections import OUTBOX
from sandbox.control import Control
from sandbox.launcher import Sandbox
from sandbox.mongod import Mongod


@pytest.fixture
def deployment(
    db: Database[dict[str, Any]], mongod: Mongod, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database[dict[str, Any]]]:
    """The surroundings of a process of Airflow's: connections and settings from the environment."""
    mongo = {"conn_type": "mongo", "host": "127.0.0.1", "port": mongod.port}
    variables = {
        **sandbox.env,
        "AIRFLOW_CONN_MONGO_DEFAULT": json.dumps(mongo),
        "TRADING_OPS_MONGO_DATABASE": db.name,
        "TRADING_OPS_STATE_DIR": str(tmp_path),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    yield db
    get_settings.cache_clear()


def missed(state: str) -> dict[str, Any]:
    run = {"dag_id": "system_health_check", "dag_run_id": "run-1", "state": state, "queued_at": "2025-11-22T14:30:00Z"}
    return {"dag_run": run, "deadline": {"id": "1", "deadline_time": "2025-11-22T14:35:00Z"}}


def test_a_run_that_is_still_going_on_at_its_deadline_is_a_critical_message(
    deployment: Database[dict[str, Any]], control: Control
) -> None:
    asyncio.run(say_unfinished(missed("running")))
    (mail,) = control.messages("smtp")
    assert "system_health_check has not finished: nothing is watched" in mail["payload"]["subject"]
    assert len(control.messages("slack")) == 1
    stored = deployment[OUTBOX].find_one({"_id": "health:run-1:unfinished"})
    assert stored is not None
    assert stored["severity"] == "critical"


@pytest.mark.parametrize("state", ["failed", "success"])
def test_a_run_that_has_ended_meanwhile_is_not_said_again(
    deployment: Database[dict[str, Any]], control: Control, state: str
) -> None:
    asyncio.run(say_unfinished(missed(state)))
    assert control.messages() == []
    assert deployment[OUTBOX].count_documents({}) == 0


def test_the_deadline_is_later_than_a_slow_check_and_before_the_next_one() -> None:
    dag = system_health_check()
    (alert,) = dag.deadline if isinstance(dag.deadline, list) else [dag.deadline]
    assert isinstance(alert.callback, AsyncCallback)
    assert alert.callback.path == f"{say_unfinished.__module__}.{say_unfinished.__qualname__}"
    assert inspect.iscoroutinefunction(say_unfinished)
    assert dag.get_task("check").execution_timeout < alert.interval < timedelta(minutes=15)
