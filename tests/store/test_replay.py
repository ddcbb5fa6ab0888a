"""Replay: everything, once, in order - also when MongoDB dies meanwhile, or somebody else replays too."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from include.notify.message import Message, Severity
from include.notify.outbox import outbox_document
from include.store.durable import keep_result
from include.store.replay import DAMAGED, replay
from include.store.results import result_document, store_result, update_result, write_result
from include.store.spool import Spool
from tests.store.outages import MortalMongod, Outage, impatient

Db = Database[dict[str, Any]]
REPORTS, HISTORY, OUTBOX = "performance_metrics", "kill_switch_history", "outbox"


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MortalMongod]:
    with MortalMongod(tmp_path_factory.mktemp("mortal")) as server:
        yield server


def fill(spool: Spool, count: int = 12) -> None:
    for n in range(count):
        spool.append(REPORTS, result_document(f"run-{n}", {"n": n}, 1))
        spool.append(HISTORY, {"_id": f"row-{n}", "n": n})


@pytest.mark.critical
@pytest.mark.parametrize("at_write", [1, 7, 24])
def test_mongodb_dying_in_the_middle_loses_and_doubles_nothing(
    mortal: MortalMongod, spool: Spool, at_write: int
) -> None:
    mortal.db().client.drop_database("trading_ops")
    fill(spool)
    with impatient(timeout_s=2):  # it is there for the writes before
        first = replay(spool, mortal.db(Outage(mortal, at_write)))
    assert first.problem is not None
    assert first.replayed == at_write - 1
    assert first.waiting == 24 - first.replayed
    assert len(spool.pending()) == first.waiting, "what is not stored is still there"
    mortal.start()
    second = replay(spool, mortal.db())
    assert (second.problem, second.waiting, spool.pending()) == (None, 0, [])
    db = mortal.db()
    assert sorted((row["_id"], row["n"]) for row in db[REPORTS].find()) == sorted((f"run-{n}", n) for n in range(12))
    assert sorted((row["_id"], row["n"]) for row in db[HISTORY].find()) == sorted((f"row-{n}", n) for n in range(12))


@pytest.mark.critical
def test_a_mongodb_that_hangs_is_away(mortal: MortalMongod, spool: Spool) -> None:
    db = mortal.db()
    db.client.drop_database("trading_ops")
    assert keep_result(db, spool, REPORTS, "run-0", {"n": 0}, 1) == "stored"
    mortal.hang()
    try:
        with impatient():
            assert keep_result(db, spool, REPORTS, "run-1", {"n": 1}, 1) == "spooled"
            report = replay(spool, db)
        assert (report.replayed, report.waiting) == (0, 1)
    finally:
        mortal.go_on()
    # The hanging server may have carried the write out after all: it is the same document.
    replay(spool, mortal.db())
    assert {row["_id"]: row["n"] for row in mortal.db()[REPORTS].find()} == {"run-0": 0, "run-1": 1}


@pytest.mark.critical
def test_two_replays_at_once_store_everything_once(db: Db, spool: Spool) -> None:
    fill(spool, 40)
    with ThreadPoolExecutor(3) as pool:
        reports = list(pool.map(lambda _: replay(Spool(spool.folder), db), range(3)))
    assert spool.pending() == []
    assert [(report.problem, report.damaged, report.waiting) for report in reports] == [(None, (), 0)] * 3
    assert db[REPORTS].count_documents({}) == db[HISTORY].count_documents({}) == 40
    assert sum(report.replayed for report in reports) == 80, "each document changed the database once"


def test_a_result_gives_way_to_a_newer_one(db: Db, spool: Spool) -> None:
    older = result_document("run", {"n": 1}, 1)
    spool.append(REPORTS, older)
    spool.append(REPORTS, result_document("run", {"n": 2}, 2))
    store_result(db, REPORTS, "run", {"n": 3}, 3)
    report = replay(spool, db)
    assert (report.replayed, report.superseded) == (0, 2)
    stored = db[REPORTS].find_one()
    assert stored is not None
    assert (stored["n"], stored["try_number"]) == (3, 3)
    # In the order in which they were kept, the newer try stays.
    db[REPORTS].delete_many({})
    spool.append(REPORTS, older)
    spool.append(REPORTS, result_document("run", {"n": 2}, 2))
    assert replay(spool, db).replayed == 2
    assert db[REPORTS].count_documents({"n": 2}) == 1


@pytest.mark.critical
def test_a_write_that_arrived_unconfirmed_does_not_undo_what_followed_it(db: Db, spool: Spool) -> None:
    whole = result_document("run", {"n": 1}, 1)
    write_result(db, REPORTS, whole)  # its confirmation was lost, so that the task spooled it as well
    spool.append(REPORTS, whole)
    update_result(db, REPORTS, "run", {"gpt4_task_id": "gpt4__run"}, 1)
    assert replay(spool, db).superseded == 1
    assert db[REPORTS].count_documents({"gpt4_task_id": "gpt4__run"}) == 1


@pytest.mark.critical
def test_a_damaged_file_is_set_aside_and_the_rest_goes_on(db: Db, spool: Spool) -> None:
    fill(spool, 2)
    files = spool.pending()
    files[1].write_bytes(files[1].read_bytes()[:30])
    report = replay(spool, db)
    assert (report.replayed, report.waiting, report.damaged) == (3, 0, (files[1].name,))
    assert [path.name for path in (spool.folder / DAMAGED).iterdir()] == [files[1].name]
    assert replay(spool, db).damaged == (), "said once"


def test_a_document_that_mongodb_never_takes_is_set_aside(db: Db, spool: Spool) -> None:
    spool.append(REPORTS, {"_id": "huge", "text": "x" * 17_000_000})
    spool.append(REPORTS, {"_id": "good"})
    report = replay(spool, db)
    assert (report.replayed, len(report.damaged)) == (1, 1)
    assert db[REPORTS].count_documents({"_id": "good"}) == 1


@pytest.mark.critical
def test_a_file_that_nothing_can_be_done_with_holds_up_nothing(db: Db, spool: Spool) -> None:
    """A half character that an earlier version has spooled; something that is no file at all."""
    spool.append(REPORTS, {"_id": "poison"})
    (poison,) = spool.pending()
    poison.write_text(poison.read_text().replace('"_id"', '"half": "\\ud83d", "_id"'))
    (spool.folder / f"{'0' * 20}-folder.json").mkdir()
    spool.append(REPORTS, {"_id": "good"})
    report = replay(spool, db)
    assert (report.replayed, report.waiting, report.problem) == (1, 0, None)
    assert sorted(report.damaged) == sorted([f"{'0' * 20}-folder.json", poison.name])
    assert db[REPORTS].count_documents({"_id": "good"}) == 1


def message(key: str) -> Message:
    return Message(Severity.ERROR, "title", "body", key, created_at=datetime(2026, 1, 1, tzinfo=UTC))


def with_states(document: dict[str, Any], **states: str) -> dict[str, Any]:
    channels = {name: {**part, "state": states.get(name, part["state"])} for name, part in document["channels"].items()}
    return {**document, "channels": channels}


def test_a_message_is_stored_once_and_its_deliveries_only_advance(db: Db, spool: Spool) -> None:
    expected = {
        ("pending", "delivered"): "delivered",
        ("delivered", "pending"): "delivered",
        ("refused", "pending"): "refused",
        ("pending", "expired"): "expired",
        ("expired", "delivered"): "delivered",
    }
    for stored, spooled in expected:
        fresh = outbox_document(message(f"{stored}-{spooled}"), ("slack", "email"))
        db[OUTBOX].insert_one(with_states(fresh, slack=stored))
        spool.append(OUTBOX, with_states(fresh, slack=spooled))
    replay(spool, db)
    found = {row["_id"]: row for row in db[OUTBOX].find()}
    assert len(found) == len(expected)
    for (stored, spooled), after in expected.items():
        row = found[f"{stored}-{spooled}"]
        assert row["channels"]["slack"]["state"] == after, (stored, spooled)
        assert row["channels"]["email"]["state"] == row["state"] == "pending", "email waits"


def test_a_message_whose_last_channel_was_reached_is_done(db: Db, spool: Spool) -> None:
    fresh = outbox_document(message("key"), ("slack",))
    db[OUTBOX].insert_one(fresh)
    spool.append(OUTBOX, with_states(fresh, slack="delivered"))
    spool.append(OUTBOX, outbox_document(message("new"), ("slack",)))
    assert replay(spool, db).replayed == 2
    assert {row["_id"]: row["state"] for row in db[OUTBOX].find()} == {"key": "delivered", "new": "pending"}


def test_a_refusal_that_only_the_spool_knows_is_said_to_people(db: Db, spool: Spool) -> None:
    fresh = outbox_document(message("key"), ("slack", "email"))
    db[OUTBOX].insert_one(with_states(fresh, email="delivered"))
    spool.append(OUTBOX, with_states(fresh, slack="refused"))
    replay(spool, db)
    stored = db[OUTBOX].find_one()
    assert stored is not None
    assert (stored["state"], stored["unsaid"]) == ("failed", True)
