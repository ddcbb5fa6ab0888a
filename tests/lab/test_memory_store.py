"""What an optimisation has finished is remembered on MongoDB: for its own run, candles, terms and code alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from pymongo.database import Database

from include.errors import BadInputError
from include.settings import Settings
from include.store.collections import OPTIMIZATION_VARIATIONS
from include.store.retention import remove_old, rules
from include.strategies.optimise import memory_store
from include.strategies.optimise.memory_store import MongoMemory, code_hash
from include.strategies.optimise.variation import Variation

Db = Database[dict[str, Any]]
SEGMENT = "train 0123456789abcdef"


def variation(key: str, sharpe: float | None = 1.25) -> dict[str, Any]:
    figures = {"sharpe_ratio": sharpe, "total_trades": 7, "undefined": {}}
    return Variation(key, {"rsi_period": 14}, figures, np.array([0.01, -0.1 / 3])).to_stored()


@pytest.mark.critical
def test_what_is_kept_comes_back_as_it_was_to_another_process_of_the_run(db: Db) -> None:
    MongoMemory(db, "a").keep(SEGMENT, [variation("one"), variation("two", None)])
    MongoMemory(db, "a").keep(SEGMENT, [variation("three")])
    found = MongoMemory(db, "a").known(SEGMENT)
    assert list(found) == ["one", "two", "three"]
    assert found["two"] == variation("two", None)
    again = Variation.from_stored(found["one"])
    assert again.to_stored() == variation("one"), "to the last digit"


def test_the_same_variation_kept_again_is_one(db: Db) -> None:
    memory = MongoMemory(db, "a")
    memory.keep(SEGMENT, [variation("one")])
    memory.keep(SEGMENT, [variation("one"), variation("two")])
    memory.keep(SEGMENT, [])
    assert db[OPTIMIZATION_VARIATIONS].count_documents({}) == 2


def test_other_runs_segments_and_versions_of_the_code_know_nothing_of_it(
    db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = MongoMemory(db, "a")
    memory.keep(SEGMENT, [variation("one")])
    assert MongoMemory(db, "b").known(SEGMENT) == {}
    assert memory.known("train fedcba9876543210") == {}, "other candles or terms: another fingerprint"
    assert memory.known("window 1 train 0123456789abcdef") == {}
    assert len(code_hash()) == 16
    monkeypatch.setattr(memory_store, "code_hash", lambda: "another")
    assert memory.known(SEGMENT) == {}
    memory.keep(SEGMENT, [variation("one", 2.0)])
    assert memory.known(SEGMENT)["one"]["figures"]["sharpe_ratio"] == 2.0
    assert db[OPTIMIZATION_VARIATIONS].count_documents({}) == 1, "what is stale is replaced"


def test_a_number_that_is_none_is_refused_and_nothing_of_the_batch_is_kept(db: Db) -> None:
    memory = MongoMemory(db, "a")
    with pytest.raises(BadInputError, match=r"figures\.sharpe_ratio is nan"):
        memory.keep(SEGMENT, [variation("one"), variation("two", float("nan"))])
    assert memory.known(SEGMENT) == {}


def test_a_run_whose_result_is_kept_forgets_and_others_are_swept_when_they_are_old(db: Db) -> None:
    for run_id in ("a", "b"):
        MongoMemory(db, run_id).keep(SEGMENT, [variation("one"), variation("two")])
        MongoMemory(db, run_id).keep("window 1 train", [variation("one")])
    assert MongoMemory(db, "a").forget() == 3
    assert MongoMemory(db, "a").known(SEGMENT) == {}
    assert len(MongoMemory(db, "b").known(SEGMENT)) == 2
    now = datetime.now(UTC)
    (rule,) = (rule for rule in rules(Settings()) if rule.collection == OPTIMIZATION_VARIATIONS)
    assert remove_old(db, rule, now + timedelta(days=6)) == 0
    assert remove_old(db, rule, now + timedelta(days=8)) == 3
