"""Audit rows on their way into MongoDB: every source, any order, twice."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pymongo
import pytest
from pymongo.database import Database
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from include.audit.abandoned import finish_abandoned
from include.audit.collect import DAMAGED, collect, store_lines
from include.audit.journal import Journal
from include.audit.rows import RUN_END, START, TASK_END, audit_row, of_run, run_over
from include.store.collections import AUDIT_LOG
from include.store.leases import Owner
from tests.audit import conftest as airflow
from tests.store.outages import impatient, nowhere

Db = Database[dict[str, Any]]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "audit", 10_000_000)


def started(task: airflow.Task) -> dict[str, Any]:
    return audit_row(START, task, of_run(task.dag_run), "running")


def ended(task: airflow.Task, state: str, error: Exception | None = None) -> dict[str, Any]:
    return audit_row(TASK_END, task, of_run(task.dag_run), state, error, ended_at=task.end_date)


def at_run_end(task: airflow.Task) -> dict[str, Any]:
    return audit_row(RUN_END, task, of_run(task.dag_run), str(task.state), ended_at=task.end_date)


def rows(db: Db) -> list[dict[str, Any]]:
    return list(db[AUDIT_LOG].find().sort("_id", 1))


@pytest.mark.critical
def test_a_row_says_who_did_what_when_and_how_it_ended(db: Db, journal: Journal) -> None:
    run = airflow.Run(conf={"symbol": "BTCUSDT", "note": "token=abcdef123456"})
    task = airflow.Task(dag_run=run, try_number=2)
    journal.append([started(task)])
    journal.append([ended(task, "failed", ValueError("mongodb://ops:hunter2@db/ refused"))])
    assert collect(journal, db).moved == 2
    (row,) = rows(db)
    assert row["_id"] == "train_model:manual__1:admit:-1:2"
    assert (row["dag_id"], row["run_id"], row["task_id"], row["attempt"]) == ("train_model", "manual__1", "admit", 2)
    assert (row["who"], row["state"], row["duration_s"]) == ("mia", "failed", 2.0)
    assert (row["started_at"], row["ended_at"]) == (airflow.START, airflow.START + timedelta(seconds=2))
    assert row["error"] == "ValueError: mongodb://***@db/ refused"
    assert "abcdef123456" not in str(row)
    assert row["params"] == '{"note": "token=***", "symbol": "BTCUSDT"}'


@pytest.mark.critical
def test_the_tasks_own_word_wins_in_any_order_and_twice(db: Db) -> None:
    task = airflow.Task(state="failed")
    own = ended(task, "failed", ValueError("own word"))
    events = [started(task), own, at_run_end(task), run_over(task.dag_run, "failed")]
    for order in itertools.permutations(events):
        db[AUDIT_LOG].delete_many({})
        for event in (*order, *order):
            store_lines(db, [event])
        (row,) = rows(db)
        assert (row["state"], row["error"], row["duration_s"]) == ("failed", "ValueError: own word", 2.0), order


@pytest.mark.critical
def test_a_killed_task_has_a_row_all_the_same(db: Db) -> None:
    """Its process could say nothing: the first try was retried, the second is known from the end of the run."""
    first, second = airflow.Task(try_number=1), airflow.Task(try_number=2, state="success")
    never = airflow.Task("deploy", state="skipped", try_number=0, start_date=None, end_date=None)
    store_lines(db, [started(first), started(second)])
    store_lines(db, [at_run_end(second), at_run_end(never), run_over(first.dag_run, "success")])
    states = {(row["task_id"], row["attempt"]): row["state"] for row in rows(db)}
    assert states == {("admit", 1): "killed", ("admit", 2): "success", ("deploy", 0): "skipped"}
    assert "killed" in rows(db)[0]["error"]


def test_rows_wait_while_mongodb_is_away(db: Db, journal: Journal) -> None:
    for n in range(3):
        journal.append([started(airflow.Task(f"t{n}"))])
    with impatient():
        report = collect(journal, nowhere())
    assert (report.moved, report.waiting) == (0, 3)
    assert report.problem is not None
    assert collect(journal, db).moved == 3
    assert len(rows(db)) == 3


def test_an_unreadable_line_costs_that_line(db: Db, journal: Journal) -> None:
    journal.append([started(airflow.Task())])
    (journal.folder / "00000000000000000001-torn.jsonl").write_text('{"_id": "x", "sour\n[]\n{"_id": 5}\n')
    report = collect(journal, db)
    assert (report.moved, report.unreadable, report.waiting) == (1, 3, 0)


@pytest.mark.critical
def test_a_row_that_mongodb_never_takes_costs_its_file_and_holds_up_nothing(db: Db, journal: Journal) -> None:
    for n in range(3):
        journal.append([started(airflow.Task(f"t{n}"))])
    poison = f"{5:020d}-poison.jsonl"
    (journal.folder / poison).write_text('{"_id": "half", "source": "start", "who": "\\ud83d"}\n')
    (journal.folder / f"{6:020d}-huge.jsonl").write_text('{"_id": "huge", "source": "start", "n": 1' + "0" * 30 + "}\n")
    report = collect(journal, db)
    assert (report.moved, report.waiting, report.problem) == (3, 0, None)
    assert report.damaged == (poison, f"{6:020d}-huge.jsonl")
    assert sorted(path.name for path in (journal.folder / DAMAGED).iterdir()) == sorted(report.damaged)
    assert len(rows(db)) == 3
    assert collect(journal, db).damaged == (), "said once"


def test_a_batch_is_small_however_much_waits(db: Db, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits is read and stored in parts, so that neither memory nor the time of a write runs out."""
    monkeypatch.setattr("include.audit.collect.BATCH_BYTES", 3_000)
    for n in range(20):
        journal.append([started(airflow.Task(f"t{n}"))])
    sizes = []

    class Watch(CommandListener):
        def started(self, event: CommandStartedEvent) -> None:
            if event.command_name == "update":
                sizes.append(len(event.command["updates"]))

        def succeeded(self, event: CommandSucceededEvent) -> None: ...

        def failed(self, event: CommandFailedEvent) -> None: ...

    host, port = db.client.address or ("", 0)
    with pymongo.MongoClient[dict[str, Any]](host, port, event_listeners=[Watch()]) as client:
        assert collect(journal, client[db.name]).moved == 20
    assert sum(sizes) == 20
    assert max(sizes) < 10


def test_a_hostile_row_is_data_and_no_expression(db: Db) -> None:
    task = airflow.Task(dag_run=airflow.Run(conf={"$gt": "$$ROOT", "a.b": "$source"}))
    store_lines(db, [{**started(task), "params": "$$ROOT", "task_id": "$source"}])
    assert (rows(db)[0]["params"], rows(db)[0]["task_id"]) == ("$$ROOT", "$source")


def test_thousands_of_rows_go_in_one_call(db: Db, journal: Journal) -> None:
    tasks = [airflow.Task("mapped", map_index=n) for n in range(3000)]
    for start in range(0, 3000, 100):
        journal.append([started(task) for task in tasks[start : start + 100]])
        journal.append([ended(task, "success") for task in tasks[start : start + 100]])
    assert collect(journal, db).moved == 6000
    assert db[AUDIT_LOG].count_documents({"state": "success"}) == 3000


def test_abandoned_rows_of_ended_runs_are_finished_and_no_others(db: Db, journal: Journal) -> None:
    now = datetime.now(UTC)
    ages = {"over": 60, "runs": 60, "fresh": 1}
    for name, minutes in ages.items():
        task = airflow.Task(dag_run=airflow.Run(run_id=name), start_date=now - timedelta(minutes=minutes))
        journal.append([started(task)])
    collect(journal, db)
    asked: list[str] = []

    def is_over(owner: Owner) -> bool:
        asked.append(owner.run_id)
        return owner.run_id != "runs"

    assert finish_abandoned(db, is_over, now) == 1
    assert {row["run_id"]: row["state"] for row in rows(db)} == {
        "over": "killed",
        "runs": "running",
        "fresh": "running",
    }
    assert sorted(asked) == ["over", "runs"]
    # The task's own word, late, still counts.
    store_lines(db, [ended(airflow.Task(dag_run=airflow.Run(run_id="over")), "success")])
    assert db[AUDIT_LOG].count_documents({"run_id": "over", "state": "success"}) == 1
