"""Result documents against a real MongoDB: written once per run, fenced by try number."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pymongo
import pytest
from pymongo import IndexModel
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from include.errors import BadInputError, FencedError, ServiceUnavailableError
from include.store.results import result_document, store_result, update_result

Db = Database[dict[str, Any]]
JOBS = "training_jobs"
RUN = "manual__2026-01-01T00:00:00+00:00"


def _stored(db: Db) -> dict[str, Any]:
    document = db[JOBS].find_one({"_id": RUN})
    assert document is not None
    return document


@pytest.mark.critical
def test_a_retry_overwrites_and_never_duplicates(db: Db) -> None:
    store_result(db, JOBS, RUN, {"status": "failed", "error": "x"}, 1)
    store_result(db, JOBS, RUN, {"status": "success"}, 2)
    assert db[JOBS].count_documents({}) == 1
    stored = _stored(db)
    assert (stored["status"], stored["task_id"], stored["try_number"]) == ("success", RUN, 2)
    assert "error" not in stored


def test_same_try_may_write_again(db: Db) -> None:
    store_result(db, JOBS, RUN, {"n": 1}, 1)
    store_result(db, JOBS, RUN, {"n": 2}, 1)
    assert _stored(db)["n"] == 2


@pytest.mark.critical
def test_older_try_never_overwrites_a_newer_one(db: Db) -> None:
    store_result(db, JOBS, RUN, {"n": 2}, 2)
    before = _stored(db)
    with pytest.raises(FencedError, match=r"try 2 of run .* has written to training_jobs: try 1"):
        store_result(db, JOBS, RUN, {"n": 1}, 1)
    with pytest.raises(FencedError, match=r"try 2 of run .* has written to training_jobs: try 1"):
        update_result(db, JOBS, RUN, {"n": 1}, 1)
    assert _stored(db) == before


def test_whatever_the_order_of_many_tries_the_newest_stays(db: Db) -> None:
    barrier = threading.Barrier(8)

    def write(try_number: int) -> None:
        barrier.wait()
        try:
            store_result(db, JOBS, RUN, {"by": try_number}, try_number)
        except FencedError:
            return

    for _ in range(10):
        db[JOBS].delete_many({})
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, range(1, 9)))
        stored = _stored(db)
        assert (stored["by"], stored["try_number"]) == (8, 8)


def test_times_come_back_aware(db: Db) -> None:
    at = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)
    store_result(db, JOBS, RUN, {"at": at}, 1)
    stored = _stored(db)
    assert stored["at"] == at
    assert stored["stored_at"].utcoffset() is not None


@pytest.mark.critical
def test_nan_and_infinity_are_refused_by_their_path_and_nothing_is_written(db: Db) -> None:
    with pytest.raises(BadInputError, match=r"^metrics\.sharpe is nan"):
        store_result(db, JOBS, RUN, {"metrics": {"sharpe": float("nan")}}, 1)
    assert db[JOBS].count_documents({}) == 0
    store_result(db, JOBS, RUN, {"n": 1}, 1)
    with pytest.raises(BadInputError, match=r"^n is inf"):
        update_result(db, JOBS, RUN, {"n": float("inf")}, 1)
    assert _stored(db)["n"] == 1


def test_update_sets_fields_and_paths_and_keeps_the_rest(db: Db) -> None:
    store_result(db, JOBS, RUN, {"models": {"lstm": {"status": "training"}, "gru": {"status": "queued"}}, "n": 1}, 1)
    update_result(db, JOBS, RUN, {"models.lstm.status": "deployed", "n": 2}, 2)
    stored = _stored(db)
    assert stored["models"] == {"lstm": {"status": "deployed"}, "gru": {"status": "queued"}}
    assert (stored["n"], stored["try_number"]) == (2, 2)
    assert stored["updated_at"] >= stored["stored_at"]
    with pytest.raises(FencedError):
        store_result(db, JOBS, RUN, {"n": 1}, 1)


def test_update_without_a_document_is_refused(db: Db) -> None:
    with pytest.raises(BadInputError, match=r"no document of run .* in training_jobs"):
        update_result(db, JOBS, RUN, {"n": 1}, 1)
    assert db[JOBS].count_documents({}) == 0


def test_document_that_was_written_without_a_try_number_is_taken_over(db: Db) -> None:
    db[JOBS].insert_one({"_id": RUN, "n": 0})
    update_result(db, JOBS, RUN, {"n": 1}, 1)
    store_result(db, JOBS, RUN, {"n": 2}, 1)
    assert _stored(db)["n"] == 2


def test_clash_with_another_unique_index_is_not_taken_for_a_newer_try(db: Db) -> None:
    db["uniquely_named"].create_indexes([IndexModel("name", unique=True)])
    store_result(db, "uniquely_named", "other", {"name": "same"}, 1)
    with pytest.raises(DuplicateKeyError, match="name"):
        store_result(db, "uniquely_named", RUN, {"name": "same"}, 1)


def test_identity_fields_of_the_document_do_not_win_over_the_runs(db: Db) -> None:
    store_result(db, JOBS, RUN, {"_id": "x", "task_id": "x", "try_number": 99}, 1)
    stored = _stored(db)
    assert (stored["task_id"], stored["try_number"]) == (RUN, 1)
    update_result(db, JOBS, RUN, {"_id": "y", "n": 3}, 1)
    assert _stored(db)["n"] == 3


@pytest.mark.parametrize(("task_id", "try_number"), [("", 1), (RUN, -1), (RUN, True), (RUN, 1.0)])
def test_senseless_identity_is_refused(task_id: str, try_number: Any) -> None:
    with pytest.raises(BadInputError, match="a result needs"):
        result_document(task_id, {}, try_number)


def test_mongodb_away_is_a_transient_error() -> None:
    with pymongo.MongoClient[dict[str, Any]]("mongodb://127.0.0.1:1", serverSelectionTimeoutMS=50) as client:
        with pytest.raises(ServiceUnavailableError, match="storing the result of run"):
            store_result(client["nowhere"], JOBS, RUN, {}, 1)
        with pytest.raises(ServiceUnavailableError, match="updating the result of run"):
            update_result(client["nowhere"], JOBS, RUN, {}, 1)
