"""The figures of the bundle: from a real MongoDB and Airflow's own tables, through a real HTTP request."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pymongo
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pymongo.database import Database
from sqlalchemy import create_engine

from dags.wiring.defaults import PRIORITY
from include.analyst.gpt4_switch import switch_off
from include.metrics.costs import cost_gauges
from include.metrics.gauge import Gauge
from include.metrics.models import model_gauges
from include.metrics.operations import operation_gauges
from include.metrics.waiting import waiting_gauges
from include.ml.champions import ChampionPointers, Move
from include.settings import Settings
from include.store.collections import AUDIT_LOG, DEAD_LETTERS, GPT4_COSTS, HEALTH_REPORTS, MODEL_SCORES, OUTBOX
from include.trading.kill_switch import Order, note_engine, set_state
from ops import compose
from ops.metrics_exporter import Source, server
from ops.run_dir import REPOSITORY
from sandbox.mongod import Mongod, free_port
from tests.ops.conftest import eventually

Db = Database[dict[str, Any]]
NOW = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)


def value(gauges: list[Gauge], name: str, **labels: str) -> float:
    (gauge,) = [gauge for gauge in gauges if gauge.name == name]
    return gauge.values[tuple(sorted(labels.items()))]


def cost_row(at: datetime, usd: float, state: str = "settled") -> dict[str, Any]:
    return {
        "timestamp": at, "cost_usd": usd, "state": state, "prompt_tokens": 1, "completion_tokens": 1,
        "model": "gpt-4o", "purpose": "self_analysis",
    }  # fmt: skip


def test_costs_of_the_day_and_the_month_their_limits_and_the_switch(db: Db) -> None:
    db[GPT4_COSTS].insert_many(
        [
            cost_row(NOW - timedelta(hours=1), 1.25),
            cost_row(NOW - timedelta(hours=13), 0.5),  # yesterday
            cost_row(NOW - timedelta(days=20), 9.0),  # last month
            cost_row(NOW - timedelta(hours=2), 0.25, state="unknown"),  # nobody knows: it counts
        ]
    )
    gauges = cost_gauges(db, Settings(), NOW)
    assert value(gauges, "trading_ops_gpt4_cost_usd", period="day", source="bundle") == pytest.approx(1.5)
    assert value(gauges, "trading_ops_gpt4_cost_usd", period="month", source="bundle") == pytest.approx(2.0)
    assert value(gauges, "trading_ops_gpt4_cost_usd", period="day", source="ai_service") == 0
    assert value(gauges, "trading_ops_gpt4_cost_limit_usd", level="critical", period="day") == 5.0
    assert value(gauges, "trading_ops_gpt4_on") == 1
    switch_off(db, "too dear", {}, "test", NOW)
    assert value(cost_gauges(db, Settings(), NOW), "trading_ops_gpt4_on") == 0


def move(place: str, to: str, before: str | None, kind: Any) -> Move:
    return Move(place, to, before, "test", "because", {}, kind, NOW)


def test_deployments_and_the_champions_latest_scores(db: Db) -> None:
    pointers = ChampionPointers(db)
    pointers.move(move("lstm:BTCUSDT:1h", "a", None, "deploy"))
    pointers.move(move("lstm:BTCUSDT:1h", "b", "a", "deploy"))
    pointers.move(move("lstm:BTCUSDT:1h", "a", "b", "rollback"))
    pointers.move(move("gru:ETHUSDT:1h", "c", None, "deploy"))
    place = {"model_type": "lstm", "symbol": "BTCUSDT", "timeframe": "1h"}
    db[MODEL_SCORES].insert_many(
        [
            {**place, "date": "2026-03-13", "accuracy": 0.7, "skill": 0.01, "baseline_accuracy": 0.69},
            {**place, "date": "2026-03-14", "accuracy": 0.61, "skill": -0.02, "baseline_accuracy": 0.63},
            {**place, "symbol": "XRPUSDT", "date": "2026-03-14", "accuracy": 0.9, "skill": 0.2},  # no champion
        ]
    )
    gauges = model_gauges(db)
    assert value(gauges, "trading_ops_deployments", kind="deploy") == 3
    assert value(gauges, "trading_ops_deployments", kind="rollback") == 1
    for figure, expected in (("accuracy", 0.61), ("skill", -0.02), ("baseline_accuracy", 0.63)):
        (gauge,) = [gauge for gauge in gauges if gauge.name == f"trading_ops_champion_{figure}"]
        assert gauge.values == {tuple(place.items()): expected}


def audit(number: int, state: str, at: datetime, task: str = "train") -> dict[str, Any]:
    return {
        "_id": str(number), "dag_id": "train_model", "task_id": task, "state": state, "started_at": at, "noted_at": at,
    }  # fmt: skip


def test_failures_of_the_last_hour_switches_letters_messages_and_health(db: Db) -> None:
    recent = NOW - timedelta(minutes=10)
    db[AUDIT_LOG].insert_many(
        [
            audit(1, "up_for_retry", recent),
            audit(2, "failed", recent),
            audit(3, "killed", recent),
            audit(4, "success", recent),
            audit(5, "failed", NOW - timedelta(minutes=70)),
            audit(6, "failed", recent, task="judge"),
        ]
    )
    db[DEAD_LETTERS].insert_many([{"_id": 1, "state": "waiting"}, {"_id": 2, "state": "replayed"}])
    db[OUTBOX].insert_many([{"dedupe_key": "a", "state": "pending"}, {"dedupe_key": "b", "state": "delivered"}])
    for strategy, state in (("RSI", "disabled"), ("MACD", "disabled"), ("EMA", "enabled")):
        set_state(db, Order(strategy, state, "loses", "test", f"run-{strategy}", NOW, {}))  # type: ignore[arg-type]
    note_engine(db, "MACD", "disabled", {"outcome": "disabled", "at": NOW}, "run-MACD", 1)
    gauges = operation_gauges(db, NOW)
    failed = {"dag_id": "train_model"}
    assert value(gauges, "trading_ops_task_failed_tries", **failed, task_id="train") == 3
    assert value(gauges, "trading_ops_task_failed_tries", **failed, task_id="judge") == 1
    assert value(gauges, "trading_ops_dead_letters_waiting") == 1
    assert value(gauges, "trading_ops_outbox_pending") == 1
    said = {name: value(gauges, "trading_ops_strategy_disabled", strategy=name) for name in ("RSI", "MACD", "EMA")}
    assert said == {"RSI": 1, "MACD": 1, "EMA": 0}
    unsaid = {name: value(gauges, "trading_ops_kill_switch_unconfirmed", strategy=name) for name in said}
    assert unsaid == {"RSI": 1, "MACD": 0, "EMA": 0}
    assert "trading_ops_health_report_timestamp_seconds" not in {gauge.name for gauge in gauges}, "nobody has reported"
    for minutes, status in ((30, "critical"), (15, "degraded")):
        report = {"timestamp": NOW - timedelta(minutes=minutes), "health_report": {"overall_status": status}}
        db[HEALTH_REPORTS].insert_one(report)
    gauges = operation_gauges(db, NOW)
    assert value(gauges, "trading_ops_health_report_timestamp_seconds") == NOW.timestamp() - 900
    assert value(gauges, "trading_ops_health_level") == 1


# --- Airflow's database


@pytest.fixture
def airflow_tables(ask_airflow: Any, tmp_path: Path) -> Path:
    """The two tables as the installed Airflow defines them."""
    file = tmp_path / "airflow.db"
    ask_airflow(
        "from sqlalchemy import create_engine\n"
        "from airflow.models import import_all_models\n"
        "import_all_models()\n"
        "from airflow.models.dagrun import DagRun\n"
        "from airflow.models.taskinstance import TaskInstance\n"
        f"engine = create_engine('sqlite:///{file}')\n"
        "for model in (DagRun, TaskInstance): model.__table__.create(engine)\n"
        "print('true')"
    )
    return file


def insert(connection: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    """Insert a row, with something in every other column that must not be empty."""
    for _, name, kind, must, default, _ in connection.execute(f"PRAGMA table_info({table})").fetchall():
        if must and default is None and name not in row:
            row[name] = 0 if "INT" in kind.upper() or "BOOL" in kind.upper() else f"x{len(row)}"
    marks = ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))


def test_what_waits_is_counted_before_the_broker_runs_that_have_not_begun_included(airflow_tables: Path) -> None:
    with sqlite3.connect(airflow_tables) as connection:
        number = 0
        states = [("running", "scheduled"), ("running", "running"), *[("queued", None)] * 3]
        for run, (run_state, task_state) in enumerate(states):
            row = {"id": run, "dag_id": "backtest_strategy", "run_id": f"r{run}", "state": run_state}
            insert(connection, "dag_run", row)
            for task in ("play", "store"):
                number += 1
                insert(connection, "task_instance", {
                    "id": f"{number:032x}", "dag_id": "backtest_strategy", "run_id": f"r{run}", "task_id": task,
                    "state": task_state, "queue": "backtesting", "map_index": -1,
                })  # fmt: skip
    gauges = waiting_gauges(create_engine(f"sqlite:///{airflow_tables}"), tuple(PRIORITY))
    assert value(gauges, "trading_ops_queue_waiting", queue="backtesting", what="tasks") == 2
    assert value(gauges, "trading_ops_queue_waiting", queue="backtesting", what="runs") == 3
    assert value(gauges, "trading_ops_queue_waiting", queue="scheduled", what="runs") == 0


# --- over HTTP


@pytest.fixture
def serve() -> Iterator[Any]:
    running = []

    def start(sources: dict[str, Source]) -> str:
        port = free_port()
        one = server(sources, "127.0.0.1", port)
        threading.Thread(target=one.serve_forever, daemon=True).start()
        running.append(one)
        return f"http://127.0.0.1:{port}"

    yield start
    for one in running:
        one.shutdown()
        one.server_close()


def scraped(url: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    answer = httpx.get(f"{url}/metrics", timeout=30)
    assert answer.status_code == 200
    return {
        family.name: {tuple(sorted(sample.labels.items())): sample.value for sample in family.samples}
        for family in text_string_to_metric_families(answer.text)
    }


def test_prometheus_reads_them_and_a_source_that_is_away_is_said_without_hiding_the_other(db: Db, serve: Any) -> None:
    def away() -> list[Gauge]:
        uri = f"mongodb://127.0.0.1:{free_port()}"
        with pymongo.MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=100) as client:
            return model_gauges(client["nowhere"])

    url = serve({"mongodb": away, "airflow": lambda: cost_gauges(db, Settings(), NOW)})
    found = scraped(url)
    assert found["trading_ops_source_up"] == {(("source", "airflow"),): 1, (("source", "mongodb"),): 0}
    assert found["trading_ops_gpt4_on"] == {(): 1}
    assert "trading_ops_deployments" not in found, "an old figure is never repeated"


def test_a_scrape_says_what_is_true_now(db: Db, serve: Any) -> None:
    url = serve({"mongodb": lambda: cost_gauges(db, Settings(), NOW)})
    assert scraped(url)["trading_ops_gpt4_on"] == {(): 1}
    switch_off(db, "too dear", {}, "test", NOW)
    assert scraped(url)["trading_ops_gpt4_on"] == {(): 0}


def test_the_service_reads_the_connection_that_compose_gives_it(
    db: Db, mongod: Mongod, airflow_tables: Path, tmp_path: Path
) -> None:
    """As a process of its own: no task's context, no connection in Airflow's database, no secret of Airflow's."""
    switch_off(db, "too dear", {}, "test", NOW)
    port = free_port()
    connection = {"conn_type": "mongo", "host": "127.0.0.1", "port": mongod.port, "extra": {}}
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW_CONFIG": str(REPOSITORY / "airflow.cfg"),
        "AIRFLOW_CONN_MONGO_DEFAULT": json.dumps(connection),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{airflow_tables}",
        "PYTHONPATH": str(REPOSITORY),
        "TRADING_OPS_ROOT": str(REPOSITORY),
        "TRADING_OPS_MONGO_DATABASE": db.name,
    }
    command = [sys.executable, *compose.services()["metrics"]["command"][1:3], "--port", str(port)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=log, stderr=log)
    try:
        eventually(lambda: process.poll() is not None or answers(port), timeout_s=90)
        assert process.poll() is None, (tmp_path / "log").read_text()
        found = scraped(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(20)
    assert found["trading_ops_source_up"] == {(("source", "airflow"),): 1, (("source", "mongodb"),): 1}
    assert found["trading_ops_gpt4_on"] == {(): 0}
    queues = {dict(labels)["queue"] for labels in found["trading_ops_queue_waiting"]}
    assert queues == set(PRIORITY)


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def test_the_health_address_asks_no_source(serve: Any) -> None:
    asked = []
    url = serve({"mongodb": lambda: asked.append(1) or []})
    assert httpx.get(f"{url}/healthz").text == "ok\n"
    assert httpx.get(f"{url}/elsewhere").status_code == 404
    assert asked == []
