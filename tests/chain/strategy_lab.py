"""What the tests of backtests and optimisations share: the days they are about, and how their results are found.

The days are those of real candles: 22 May 2023 and on, where the stand-in's clock has moved them to.
"""

from __future__ import annotations

import logging
import uuid
from datetime import date, timedelta
from typing import Any
from urllib.parse import quote

from ops.client import AirflowClient
from ops.environment import Environment
from tests.chain.conftest import Bundle

BACKTEST, OPTIMISE = "backtest_strategy", "optimize_strategy"
FIRST = date(2023, 5, 22)
HALF_A_YEAR = 184
"""Days from 22 May to 22 November."""
LONG_TIMEOUT_S = 400
SHOWN = ("win_rate", "total_trades", "total_return", "sharpe_ratio", "max_drawdown", "buy_and_hold_return_pct")
"""Figures that describe the market: they are reported, not demanded."""

log = logging.getLogger(__name__)


def period(bundle: Bundle, terms: dict[str, Any]) -> dict[str, Any]:
    """Return a run's conf: `days` days from the first one on, and the other terms as they are."""
    start = FIRST + timedelta(weeks=bundle.control.data()["shift_weeks"])
    rest = {name: value for name, value in terms.items() if name != "days"}
    return {**rest, "start_date": str(start), "end_date": str(start + timedelta(days=terms["days"]))}


def user(bundle: Bundle, role: str) -> tuple[str, AirflowClient]:
    """Return the name of a new user and a client that acts as that one."""
    name, password = f"{role.lower()}-{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
    bundle.client.request(
        "POST", "/auth/fab/v1/users",
        json={
            "username": name, "email": f"{name}@example.org", "first_name": role, "last_name": "Test",
            "roles": [{"name": role}], "password": password,
        },
    )  # fmt: skip
    base_url = Environment.prepare(bundle.run_dir, running=True)[0].base_url
    return name, AirflowClient(base_url, name, password)


def run_id(name: str) -> str:
    return f"lab__{name}__{uuid.uuid4().hex[:8]}"


def stored(bundle: Bundle, collection: str, run_id: str) -> dict[str, Any]:
    document = bundle.db[collection].find_one({"_id": run_id})
    assert document is not None
    return document


def task_of(bundle: Bundle, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
    (task,) = (task for task in bundle.client.task_instances(dag_id, run_id) if task["task_id"] == task_id)
    return task


def links_of(bundle: Bundle, dag_id: str, run_id: str, task_id: str) -> dict[str, str]:
    """Return the buttons of a task's page in the UI, and where they lead."""
    path = f"/api/v2/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances/{task_id}/links"
    links: dict[str, str] = bundle.client.request("GET", path)["extra_links"]
    return links


def report(title: str, figures: dict[str, Any]) -> None:
    log.info("%s: %s", title, {name: figures[name] for name in SHOWN})
