"""What is kept is kept: stored, spooled while MongoDB is away, or refused loudly."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pymongo
import pytest
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from include.errors import BadInputError, FencedError, TransientError
from include.settings import Settings
from include.store.durable import keep_once, keep_result, spool_of
from include.store.replay import replay
from include.store.results import store_result
from include.store.spool import Spool
from sandbox.mongod import Mongod
from tests.store.outages import impatient, nowhere

Db = Database[dict[str, Any]]
REPORTS = "performance_metrics"
HISTORY = "kill_switch_history"


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def test_a_result_is_stored_or_waits_on_disk(db: Db, spool: Spool) -> None:
    assert keep_result(db, spool, REPORTS, "run-1", {"n": 1}, 1) == "stored"
    with impatient():
        assert keep_result(nowhere(), spool, REPORTS, "run-2", {"n": 2}, 1) == "spooled"
    assert [row["_id"] for row in db[REPORTS].find()] == ["run-1"]
    replay(spool, db)
    found = {row["_id"]: (row["n"], row["task_id"], row["try_number"]) for row in db[REPORTS].find()}
    assert found == {"run-1": (1, "run-1", 1), "run-2": (2, "run-2", 1)}


def test_without_a_usable_connection_it_waits_on_disk(db: Db, spool: Spool) -> None:
    assert keep_result(None, spool, REPORTS, "run-1", {"n": 1}, 1) == "spooled"
    assert keep_once(None, spool, HISTORY, {"_id": "order-1"}) == "spooled"
    replay(spool, db)
    assert [row["_id"] for row in db[REPORTS].find()] == ["run-1"]
    assert [row["_id"] for row in db[HISTORY].find()] == ["order-1"]


def test_a_fenced_try_is_refused_and_not_spooled(db: Db, spool: Spool) -> None:
    store_result(db, REPORTS, "run", {"n": 2}, 2)
    with pytest.raises(FencedError):
        keep_result(db, spool, REPORTS, "run", {"n": 1}, 1)
    assert spool.pending() == []


def test_what_cannot_be_stored_is_refused_at_once_also_while_mongodb_is_away(spool: Spool) -> None:
    with pytest.raises(BadInputError, match=r"figures\.sharpe is nan"):
        keep_result(nowhere(), spool, REPORTS, "run", {"figures": {"sharpe": float("nan")}}, 1)
    with pytest.raises(BadInputError, match="without a time zone"):
        keep_once(nowhere(), spool, HISTORY, {"_id": "1", "at": datetime(2026, 1, 1)})  # noqa: DTZ001 - the point
    assert spool.pending() == []


def test_a_row_is_kept_once(db: Db, spool: Spool) -> None:
    row = {"_id": "order-1", "at": datetime(2026, 1, 1, tzinfo=UTC), "why": "first"}
    assert keep_once(db, spool, HISTORY, row) == "stored"
    assert keep_once(db, spool, HISTORY, {**row, "why": "second"}) == "stored"
    with impatient():
        assert keep_once(nowhere(), spool, HISTORY, {**row, "why": "third"}) == "spooled"
    replay(spool, db)
    assert [found["why"] for found in db[HISTORY].find()] == ["first"]


def test_a_full_spool_fails_transiently_and_says_what_to_do(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, spool_max_mb=0.001)
    spool = spool_of(settings)
    with impatient():
        assert keep_result(nowhere(), spool, REPORTS, "run-1", {"text": "x" * 300}, 1) == "spooled"
    with impatient(), pytest.raises(TransientError, match=r"TRADING_OPS_SPOOL_MAX_MB; it is not stored anywhere"):
        keep_result(nowhere(), spool, REPORTS, "run-2", {"text": "x" * 900}, 1)
    assert len(spool.pending()) == 1


def test_a_spool_that_is_no_folder_fails_transiently(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("in the way")
    with impatient(), pytest.raises(TransientError, match="cannot spool a document of performance_metrics"):
        keep_result(nowhere(), Spool(tmp_path / "spool"), REPORTS, "run", {"n": 1}, 1)


@pytest.mark.critical
def test_a_mongodb_that_refuses_the_login_is_away(mongod: Mongod, db: Db, spool: Spool) -> None:
    address = f"mongodb://ops:changed@127.0.0.1:{mongod.port}/?serverSelectionTimeoutMS=3000"
    with pymongo.MongoClient[dict[str, Any]](address) as client:
        refused = client[db.name]
        with impatient(timeout_s=2):
            assert keep_result(refused, spool, REPORTS, "run-1", {"n": 1}, 1) == "spooled"
            assert keep_once(refused, spool, HISTORY, {"_id": "order-1"}) == "spooled"
            report = replay(spool, refused)
        assert (report.replayed, report.waiting, report.damaged) == (0, 2, ())
        assert "Authentication" in str(report.problem)
    assert replay(spool, db).replayed == 2


def test_a_document_that_mongodb_does_not_take_is_said_at_once_and_not_spooled(db: Db, spool: Spool) -> None:
    db[REPORTS].create_index("finding", unique=True, name="of_this_test", partialFilterExpression={"finding": "same"})
    try:
        keep_result(db, spool, REPORTS, "run-1", {"finding": "same"}, 1)
        with pytest.raises(DuplicateKeyError):
            keep_result(db, spool, REPORTS, "run-2", {"finding": "same"}, 1)
    finally:
        db[REPORTS].drop_index("of_this_test")
    assert spool.pending() == []
