"""The records of what must hold, on a real MongoDB."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pymongo
import pytest
from pymongo.database import Database

from include.errors import BadInputError, ServiceUnavailableError
from include.store.collections import KILL_SWITCH, KILL_SWITCH_HISTORY
from include.trading.kill_switch import (
    Order,
    State,
    apply_waiting,
    note_engine,
    note_refusal,
    read_record,
    read_records,
    set_state,
)
from sandbox.mongod import free_port
from tests.trading.closed_trades import NOON

Db = Database[dict[str, Any]]


def order(state: State = "disabled", task_id: str = "run-1", at: datetime = NOON, **changes: Any) -> Order:
    fields: dict[str, Any] = {"strategy": "rsi", "reason": f"because {task_id}", "by": "ann", "evidence": {"n": 1}}
    return Order(state=state, task_id=task_id, at=at, **{**fields, **changes})


def history(db: Db) -> list[dict[str, Any]]:
    return list(db[KILL_SWITCH_HISTORY].find().sort("at"))


def test_first_order_makes_the_record_and_a_row_of_history(db: Db) -> None:
    record, ours = set_state(db, order())
    assert ours
    assert (record.state, record.version, record.disabled, record.confirmed) == ("disabled", 1, True, False)
    assert read_record(db, "rsi") == record
    assert read_records(db) == {"rsi": record}
    (row,) = history(db)
    assert (row["action"], row["changed"], row["by"], row["evidence"]) == ("disabled", True, "ann", {"n": 1})


def test_second_run_leaves_the_record_as_it_is_and_says_that_it_asked(db: Db) -> None:
    first, _ = set_state(db, order())
    again, ours = set_state(db, order(task_id="run-2", at=NOON + timedelta(minutes=1)))
    assert not ours
    assert again == first
    assert [row["changed"] for row in history(db)] == [True, False]


def test_retry_of_the_same_run_counts_as_the_one_that_changed_it_and_doubles_no_row(db: Db) -> None:
    set_state(db, order())
    _, ours = set_state(db, order())
    assert ours
    assert len(history(db)) == 1


def test_crash_between_record_and_history_is_healed_by_the_retry(db: Db) -> None:
    set_state(db, order())
    db[KILL_SWITCH_HISTORY].delete_many({})
    set_state(db, order())
    (row,) = history(db)
    assert row["changed"] is True


@pytest.mark.parametrize("existing", [False, True], ids=["first record", "enabled before"])
def test_twenty_runs_at_once_change_it_once(db: Db, existing: bool) -> None:
    if existing:
        set_state(db, order("enabled", "run-0"))
        db[KILL_SWITCH_HISTORY].delete_many({})
    with ThreadPoolExecutor(20) as pool:
        done = list(pool.map(lambda n: set_state(db, order(task_id=f"run-{n}")), range(20)))
    assert sum(ours for _, ours in done) == 1
    assert {record.task_id for record, _ in done} == {read_records(db)["rsi"].task_id}
    assert len(history(db)) == 20
    assert sum(row["changed"] for row in history(db)) == 1
    assert {record.version for record, _ in done} == {1 + existing}


def test_disabling_and_enabling_in_turn_counts_versions_and_forgets_the_engines_answer(db: Db) -> None:
    set_state(db, order())
    note_engine(db, "rsi", "disabled", {"outcome": "disabled", "at": NOON}, "run-1", 1)
    assert read_records(db)["rsi"].confirmed
    record, _ = set_state(db, order("enabled", "run-2", NOON + timedelta(hours=1)))
    assert (record.version, record.disabled, record.confirmed, record.engine) == (2, False, False, {})


def test_late_answer_to_an_older_order_does_not_confirm_the_newer_one(db: Db) -> None:
    set_state(db, order())
    set_state(db, order("enabled", "run-2"))
    note_engine(db, "rsi", "disabled", {"outcome": "disabled", "at": NOON}, "run-1", 1)
    assert read_records(db)["rsi"].engine == {}
    assert db[KILL_SWITCH_HISTORY].count_documents({"action": "engine"}) == 1


@pytest.mark.parametrize("changes", [{"reason": " "}, {"by": ""}])
def test_no_change_without_a_reason_and_a_name(db: Db, changes: dict[str, str]) -> None:
    with pytest.raises(BadInputError, match="without a reason and a name"):
        set_state(db, order(**changes))
    assert not db[KILL_SWITCH].count_documents({})


def test_refusal_is_history_and_changes_nothing(db: Db) -> None:
    before, _ = set_state(db, order())
    note_refusal(db, order("enabled", "run-2", by="bob"))
    assert read_record(db, "rsi") == before
    assert db[KILL_SWITCH_HISTORY].find_one({"action": "refused", "by": "bob"})


def test_spooled_order_is_carried_out_once_it_is_replayed(db: Db) -> None:
    db[KILL_SWITCH_HISTORY].insert_one(order().event(changed=True, version=None, applied=False))
    assert apply_waiting(db) == ["rsi"]
    record = read_records(db)["rsi"]
    assert (record.disabled, record.reason, record.task_id, record.changed_at) == (True, "because run-1", "run-1", NOON)
    assert apply_waiting(db) == []
    assert len(history(db)) == 1


def test_spooled_order_older_than_a_persons_decision_changes_nothing(db: Db) -> None:
    set_state(db, order(task_id="run-0", at=NOON - timedelta(hours=2)))
    enabled, _ = set_state(db, order("enabled", "run-2", NOON + timedelta(hours=1)))
    db[KILL_SWITCH_HISTORY].insert_one(order().event(changed=True, version=None, applied=False))
    assert apply_waiting(db) == []
    assert read_record(db, "rsi") == enabled


def test_mongodb_away_is_said() -> None:
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
        port=free_port(), serverSelectionTimeoutMS=100
    )  # fmt: skip
    with client, pytest.raises(ServiceUnavailableError, match=r"recording rsi as disabled|reading the kill switch"):
        set_state(client["x"], order())
