"""Dead letters: everything needed to run again, no secrets, replayed once."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from include.audit.collect import store_lines
from include.audit.dead_letters import DeadLetters
from include.audit.journal import Journal
from include.audit.letter import FailedTask, letter_document, letters_of, replay_run_id, replayed_from
from include.audit.listeners import on_dag_run_failed
from include.audit.replay_plan import plan
from include.audit.rows import TASK_END, audit_row, of_run
from include.errors import BadInputError
from include.settings import get_settings
from include.store.collections import DEAD_LETTERS
from include.store.replay import replay
from include.store.spool import Spool
from tests.audit import conftest as airflow

Db = Database[dict[str, Any]]
NOW = datetime(2026, 3, 2, tzinfo=UTC)


def put(db: Db, tmp_path: Path, *letters: dict[str, Any]) -> None:
    spool = Spool(tmp_path / "letters")
    for letter in letters:
        spool.append(DEAD_LETTERS, letter)
    assert replay(spool, db).problem is None


def letter(run_id: str = "manual__1", *, cancelled: bool = False, **conf: Any) -> dict[str, Any]:
    return letter_document(
        airflow.Run(run_id=run_id, conf=conf), [FailedTask("admit", -1, 2)], "task_failure", cancelled=cancelled
    )


@pytest.mark.critical
def test_a_letter_says_what_failed_and_how_to_run_it_again(db: Db, tmp_path: Path) -> None:
    conf: dict[str, Any] = {"symbol": "BTCUSDT", "odd": {"$date": "x", "a.b": ["{{ ds }}", None, 1.5]}}
    task = airflow.Task(try_number=2)
    store_lines(
        db, [audit_row(TASK_END, task, of_run(task.dag_run), "failed", ValueError("why"), ended_at=task.end_date)]
    )
    put(db, tmp_path, letter(**conf), letter(**conf))
    (found,) = db[DEAD_LETTERS].find()
    assert json.loads(found["conf"]) == conf
    assert found["failed_tasks"] == [{"task_id": "admit", "map_index": -1, "attempts": 2, "error": "ValueError: why"}]
    assert (found["who"], found["state"], found["origin"]) == ("mia", "waiting", None)
    assert found["failed_at"] == airflow.START + timedelta(minutes=5)


def test_a_conf_is_kept_to_the_letter_where_it_holds_no_secret(db: Db, tmp_path: Path) -> None:
    conf = {"token": None, "api_key": "", "note": "password: ", "x": '{"secret": null}', "n": 'a"b'}
    put(db, tmp_path, letter(**conf))
    (found,) = db[DEAD_LETTERS].find()
    assert (json.loads(found["conf"]), found["give_again"]) == (conf, [])


def test_a_damaged_letter_costs_itself_and_not_the_plan(db: Db, tmp_path: Path) -> None:
    put(db, tmp_path, letter("fine"), letter("damaged"))
    db[DEAD_LETTERS].update_one({"run_id": "damaged"}, {"$set": {"conf": '{"symbol": ***}'}})
    steps = plan(list(db[DEAD_LETTERS].find()), lambda _: None, lambda *_: "failed")
    assert {step.run_id: bool(step.refused) for step in steps} == {"fine": False, "damaged": True}


@pytest.mark.critical
def test_a_conf_with_a_secret_is_kept_without_it_and_not_replayed(db: Db, tmp_path: Path) -> None:
    put(db, tmp_path, letter(reason="because sk-ABCDEFGH12345678", api_key="abc", symbol="BTCUSDT"))
    (found,) = db[DEAD_LETTERS].find()
    assert "ABCDEFGH" not in str(found)
    assert json.loads(found["conf"]) == {"reason": "because ***", "api_key": "***", "symbol": "BTCUSDT"}
    (step,) = plan([found], lambda _: None, lambda *_: "failed")
    assert step.refused is not None
    assert "reason, api_key" in step.refused
    assert "by hand" in step.refused


@pytest.mark.critical
def test_a_run_that_was_repeated_and_has_failed_again_waits_again(db: Db, tmp_path: Path) -> None:
    run = airflow.Run()
    first = letter_document(run, [FailedTask("admit", -1, 2)], "task_failure", cancelled=False)
    run.end_date = airflow.START + timedelta(hours=1)
    second = letter_document(run, [FailedTask("train", -1, 3)], "task_failure", cancelled=False)
    letters, name = DeadLetters(db), "train_model:manual__1"
    put(db, tmp_path, first)
    assert letters.dismiss(name, "the run itself was repeated meanwhile and is running", NOW)
    put(db, tmp_path, first)
    assert letters.select([], "", None, 10) == [], "the same failure once more is nothing new"
    put(db, tmp_path, second, first)
    (waiting,) = letters.select([], "", None, 10)
    assert [task["task_id"] for task in waiting["failed_tasks"]] == ["train"]
    assert (waiting["failed_at"], "dismissed_because" in waiting) == (run.end_date, False)
    letters.mark_replayed(name, "replay__manual__1", "mia", NOW)
    run.end_date = airflow.START + timedelta(hours=2)
    put(db, tmp_path, letter_document(run, [], "task_failure", cancelled=False))
    assert letters.select([], "", None, 10) == [], "its replay has a letter of its own"


def test_letters_take_a_bounded_part_of_the_disk_and_a_lost_one_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRADING_OPS_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("TRADING_OPS_SPOOL_MAX_MB", "0.02")
    get_settings.cache_clear()
    try:
        for number in range(40):
            on_dag_run_failed(dag_run=airflow.Run(run_id=f"manual__{number}"), msg="task_failure")
        spool, journal = letters_of(get_settings()), Journal.of(get_settings())
        kept = len(spool.pending())
        assert 5 < kept < 40
        assert sum(path.stat().st_size for path in spool.pending()) <= 20_000
        rows_kept = len(journal.pending(100))
        assert journal.dropped() == (40 - rows_kept) + (40 - kept)
    finally:
        get_settings.cache_clear()


def test_a_huge_conf_is_not_kept_and_that_is_said(db: Db, tmp_path: Path) -> None:
    put(db, tmp_path, letter(text="x" * 300_000))
    (found,) = db[DEAD_LETTERS].find()
    assert (found["conf"], len(found["give_again"])) == ("{}", 1)


@pytest.mark.critical
def test_a_replay_that_fails_names_its_origin_and_nothing_multiplies(db: Db, tmp_path: Path) -> None:
    put(db, tmp_path, letter("manual__1"))
    letters = DeadLetters(db)
    runs, run = [], "manual__1"
    for _ in range(3):
        (waiting,) = letters.select([], "", None, 10)
        (step,) = plan([waiting], lambda _: None, lambda *_: "failed")
        assert step.refused is None
        assert letters.mark_replayed(waiting["_id"], step.trigger_run_id, "mia", NOW)
        assert not letters.mark_replayed(waiting["_id"], "another", "mia", NOW), "compare and set"
        runs.append(run := step.trigger_run_id)
        put(db, tmp_path, letter(run))
    assert runs == ["replay__manual__1", "replay__2__manual__1", "replay__3__manual__1"]
    origins = {found["run_id"]: found["origin"] for found in db[DEAD_LETTERS].find()}
    assert origins == {
        "manual__1": None,
        "replay__manual__1": "train_model:manual__1",
        "replay__2__manual__1": "train_model:replay__manual__1",
        "replay__3__manual__1": "train_model:replay__2__manual__1",
    }
    assert all(replay_run_id(str(replayed_from(run_id))) == run_id for run_id in runs)


def test_refusals_are_said(db: Db, tmp_path: Path) -> None:
    put(db, tmp_path, *(letter(run) for run in ("gone", "again", "x" * 245, "done", "fine")))
    DeadLetters(db).mark_replayed("train_model:done", "replay__done", "mia", NOW)
    found = list(db[DEAD_LETTERS].find())
    states = {"again": "success"}
    steps = plan(found, lambda _: None, lambda _, run: states.get(run, "failed"))
    refused = {step.run_id: step.refused for step in steps}
    assert refused["fine"] is None
    assert "repeated meanwhile and is success" in str(refused["again"])
    assert [step.over for step in steps if step.run_id == "again"] == [True]
    assert "too long" in str(refused["x" * 245])
    assert "already, as run replay__done" in str(refused["done"])
    (step,) = plan(found[:1], lambda dag: f"there is no DAG {dag} any more", lambda *_: None)
    assert step.refused == "there is no DAG train_model any more"


def test_selection(db: Db, tmp_path: Path) -> None:
    put(db, tmp_path, letter("a"), letter("b"), letter("cancelled", cancelled=True))
    db[DEAD_LETTERS].update_one({"run_id": "b"}, {"$set": {"dag_id": "other", "failed_at": NOW}})
    letters = DeadLetters(db)

    def runs(ids: list[str], dag_id: str = "", since: datetime | None = None) -> list[str]:
        return [found["run_id"] for found in letters.select(ids, dag_id, since, 10)]

    assert runs([]) == ["a", "b"], "a person failed the third one on purpose"
    assert runs(["train_model:cancelled"]) == ["cancelled"]
    assert runs([], "other") == ["b"]
    assert runs([], "", NOW) == ["b"]
    with pytest.raises(BadInputError, match="no dead letter matches train_model:nope"):
        letters.select(["train_model:a", "train_model:nope"], "", None, 10)
    with pytest.raises(BadInputError, match="more than 1 dead letters match"):
        letters.select([], "", None, 1)
    assert letters.dismiss("train_model:a", "repeated", NOW)
    assert runs([]) == ["b"]
