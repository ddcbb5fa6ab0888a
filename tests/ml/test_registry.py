"""Registering, promoting, archiving and rolling back in a real MongoDB, by many at once and through crashes."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.database import Database

from include.errors import BadInputError, FencedError, IntegrityError
from include.ml.champions import ChampionMovedError
from include.ml.registry import ModelRegistry
from sandbox.mongod import Mongod
from tests.ml.models import NOW, candidate, stored_file

Db = Database[dict[str, Any]]
PLACE = "lstm:BTCUSDT:1h"


@pytest.fixture
def registry(db: Db) -> ModelRegistry:
    return ModelRegistry(db)


def register(registry: ModelRegistry, task_id: str, **changes: Any) -> str:
    return registry.register(candidate(task_id, **changes), NOW).model_id


def promote(registry: ModelRegistry, model_id: str, expected: str | None, **changes: Any) -> int:
    return registry.promote(model_id, expected, who="test", why="better", now=NOW, **changes).version


def states(db: Db) -> dict[str, str]:
    return {document["_id"]: document["state"] for document in db["models"].find()}


def history(db: Db) -> list[tuple[str | None, str]]:
    return [(d["from_model_id"], d["to_model_id"]) for d in db["deployments"].find().sort("version")]


@pytest.mark.critical
def test_the_first_model_and_its_successor_take_the_place_and_the_old_one_is_archived(
    registry: ModelRegistry, db: Db
) -> None:
    first, second = register(registry, "run 1"), register(registry, "run 2")
    assert registry.champion("lstm", "BTCUSDT", "1h") is None
    assert promote(registry, first, None, evidence={"accuracy": 0.71}) == 1
    assert promote(registry, second, first) == 2
    champion = registry.champion("lstm", "BTCUSDT", "1h")
    assert champion is not None
    assert (champion.id, champion.state) == (second, "champion")
    assert states(db) == {first: "archived", second: "champion"}
    assert history(db) == [(None, first), (first, second)]
    record = db["deployments"].find_one({"_id": f"{PLACE}:v1"})
    assert record is not None
    assert (record["who"], record["why"], record["at"]) == ("test", "better", NOW)
    assert record["evidence"] == {"accuracy": 0.71}
    document = db["models"].find_one({"_id": first})
    assert document is not None
    assert [entry["state"] for entry in document["states"]] == ["candidate", "champion", "archived"]


def test_a_record_comes_back_as_it_was_registered(registry: ModelRegistry) -> None:
    wanted = candidate("run 1")
    record = registry.get(registry.register(wanted, NOW).model_id)
    assert (record.file, record.spec, record.evaluation, record.training) == (
        wanted.file,
        wanted.spec,
        wanted.evaluation,
        wanted.training,
    )
    assert (record.id, record.state, record.champion_id, record.created_at) == ("run 1:lstm", "candidate", PLACE, NOW)


def test_places_of_other_types_symbols_and_timeframes_are_independent(registry: ModelRegistry) -> None:
    for number, changes in enumerate([{}, {"model_type": "gru"}, {"symbol": "ETHUSDT"}, {"timeframe": "4h"}]):
        promote(registry, register(registry, f"run {number}", **changes), None)
    assert [p.champion_id for p in registry.pointers.all()] == [
        "gru:BTCUSDT:1h",
        "lstm:BTCUSDT:1h",
        "lstm:BTCUSDT:4h",
        "lstm:ETHUSDT:1h",
    ]
    assert [p.champion_id for p in registry.pointers.all("BTCUSDT", "1h")] == ["gru:BTCUSDT:1h", "lstm:BTCUSDT:1h"]


def test_promoting_against_an_outdated_champion_is_a_conflict_that_names_both(registry: ModelRegistry, db: Db) -> None:
    first, second, third = (register(registry, f"run {n}") for n in (1, 2, 3))
    promote(registry, first, None)
    promote(registry, second, first)
    for outdated in (None, first):
        with pytest.raises(ChampionMovedError, match=r"run 2:lstm.*version 2"):
            promote(registry, third, outdated)
    assert states(db) == {first: "archived", second: "champion", third: "candidate"}
    assert len(history(db)) == 2


def test_a_champion_that_left_and_came_back_is_noticed_by_the_version(registry: ModelRegistry) -> None:
    first, second = register(registry, "run 1"), register(registry, "run 2")
    promote(registry, first, None)
    promote(registry, second, first, expected_version=1)
    promote(registry, first, second, kind="rollback")
    with pytest.raises(ChampionMovedError, match="version 3"):
        promote(registry, second, first, expected_version=1)
    assert promote(registry, second, first, expected_version=3) == 4


def test_repeating_a_promotion_changes_nothing(registry: ModelRegistry, db: Db) -> None:
    first, second = register(registry, "run 1"), register(registry, "run 2")
    promote(registry, first, None)
    assert [promote(registry, second, first, expected_version=1) for _ in range(3)] == [2, 2, 2]
    assert history(db) == [(None, first), (first, second)]
    document = db["models"].find_one({"_id": second})
    assert document is not None
    assert [entry["state"] for entry in document["states"]] == ["candidate", "champion"]


@pytest.mark.parametrize("start_empty", [True, False])
def test_of_many_threads_that_promote_at_once_exactly_one_wins(
    registry: ModelRegistry, db: Db, start_empty: bool
) -> None:
    expected = None
    if not start_empty:
        expected = register(registry, "run 0")
        promote(registry, expected, None)
    rivals = [register(registry, f"rival {number}") for number in range(8)]
    barrier, won, lost = threading.Barrier(8), [], []

    def race(model_id: str) -> None:
        barrier.wait()
        try:
            promote(registry, model_id, expected)
            won.append(model_id)
        except ChampionMovedError:
            lost.append(model_id)

    threads = [threading.Thread(target=race, args=(model_id,)) for model_id in rivals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 7)
    assert [model_id for model_id, state in states(db).items() if state == "champion"] == won
    assert history(db)[-1] == (expected, won[0])
    assert len(history(db)) == (1 if start_empty else 2)


def test_threads_that_retry_after_a_conflict_leave_an_unbroken_history(registry: ModelRegistry, db: Db) -> None:
    models = [register(registry, f"run {number}") for number in range(6)]

    def deploy(model_id: str) -> None:
        while True:
            pointer = registry.pointer("lstm", "BTCUSDT", "1h")
            try:
                promote(registry, model_id, pointer.model_id if pointer else None)
                return
            except ChampionMovedError:
                continue

    threads = [threading.Thread(target=deploy, args=(model_id,)) for model_id in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    moves = history(db)
    assert [before for before, _ in moves] == [None, *[after for _, after in moves[:-1]]]
    assert {after for _, after in moves} == set(models)
    assert states(db) == {model_id: "champion" if model_id == moves[-1][1] else "archived" for model_id in models}


CRASHING_PROMOTION = """
import os, sys
import pymongo
from pymongo.monitoring import CommandListener
uri, database, die_after = sys.argv[1], sys.argv[2], int(sys.argv[3])
class Dying(CommandListener):
    count = 0
    def started(self, event): pass
    def failed(self, event): pass
    def succeeded(self, event):
        if event.command_name in ("find", "update", "insert", "findAndModify"):
            Dying.count += 1
            if Dying.count == die_after:
                os._exit(9)
from include.ml.registry import ModelRegistry
client = pymongo.MongoClient(uri, event_listeners=[Dying()])
ModelRegistry(client[database]).promote("run 2:lstm", "run 1:lstm", who="test", why="better", expected_version=1)
"""


@pytest.mark.parametrize("die_after", range(1, 9))
def test_a_crash_after_any_step_of_a_promotion_is_repaired_by_the_next_call(
    registry: ModelRegistry, db: Db, mongod: Mongod, die_after: int
) -> None:
    first, second, third = (register(registry, f"run {n}") for n in (1, 2, 3))
    promote(registry, first, None)
    child = subprocess.run(
        [sys.executable, "-c", CRASHING_PROMOTION, mongod.uri, db.name, str(die_after)], check=False, timeout=60
    )
    assert child.returncode == 9, "the promotion must have been cut off"
    pointer = registry.pointer("lstm", "BTCUSDT", "1h")
    assert pointer is not None
    if die_after % 2:  # the same task tries again
        promote(registry, second, first, expected_version=1)
        assert states(db) == {first: "archived", second: "champion", third: "candidate"}
        assert history(db) == [(None, first), (first, second)]
    else:  # somebody else comes next
        promote(registry, third, pointer.model_id)
        moved = pointer.model_id == second
        assert states(db) == {first: "archived", second: "archived" if moved else "candidate", third: "champion"}
        assert history(db) == [(None, first), *([(first, second), (second, third)] if moved else [(first, third)])]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["deploy", "crash", "rollback"])), max_size=12))
def test_whatever_happens_there_is_one_champion_and_it_is_the_pointers(
    registry: ModelRegistry, db: Db, steps: list[tuple[int, str]]
) -> None:
    for collection in ("models", "champions", "deployments"):
        db[collection].delete_many({})
    models = [register(registry, f"run {number}") for number in range(4)]
    moves = 0
    for number, step in steps:
        pointer = registry.pointer("lstm", "BTCUSDT", "1h")
        current = pointer.model_id if pointer else None
        if step == "rollback":
            try:
                _, target = registry.rollback_target("lstm", "BTCUSDT", "1h")
            except BadInputError:
                continue
            promote(registry, target.id, current, kind="rollback")
            moves += 1
            continue
        if models[number] != current:
            promote(registry, models[number], current)
            moves += 1
            if step == "crash":  # as if nothing after the pointer had been written
                db["models"].update_one(
                    {"_id": models[number]}, {"$set": {"state": "candidate", "state_version": moves - 1}}
                )
                db["deployments"].delete_one({"_id": f"{PLACE}:v{moves}"})
    registry.pointers.repair(PLACE)
    pointer = registry.pointer("lstm", "BTCUSDT", "1h")
    champions = [model_id for model_id, state in states(db).items() if state == "champion"]
    assert champions == ([pointer.model_id] if pointer else [])
    chain = history(db)
    assert len(chain) == moves == (pointer.version if pointer else 0)
    assert [before for before, _ in chain] == [None, *[after for _, after in chain[:-1]]][: len(chain)]


def test_rollback_goes_back_step_by_step_and_stops_at_the_first(registry: ModelRegistry, db: Db) -> None:
    models = [register(registry, f"run {n}") for n in (1, 2, 3)]
    with pytest.raises(BadInputError, match="no champion"):
        registry.rollback_target("lstm", "BTCUSDT", "1h")
    for before, model_id in zip([None, *models], models, strict=False):
        promote(registry, model_id, before)
    for expected in (models[1], models[0]):
        pointer, target = registry.rollback_target("lstm", "BTCUSDT", "1h")
        assert target.id == expected
        promote(registry, target.id, pointer.model_id, kind="rollback", expected_version=pointer.version)
    assert states(db) == {models[0]: "champion", models[1]: "archived", models[2]: "archived"}
    with pytest.raises(BadInputError, match="first champion"):
        registry.rollback_target("lstm", "BTCUSDT", "1h")
    assert [d["kind"] for d in db["deployments"].find().sort("version")] == ["deploy"] * 3 + ["rollback"] * 2


def test_a_retry_overwrites_its_candidate_and_names_the_superseded_file(registry: ModelRegistry, db: Db) -> None:
    first_file, second_file = (stored_file(f"lstm_BTCUSDT_1h_20251122_00000{n}.keras") for n in (1, 2))
    first = registry.register(candidate("run 1", file=first_file), NOW)
    second = registry.register(candidate("run 1", file=second_file, try_number=2), NOW)
    assert (first.superseded, second.superseded) == (None, first_file)
    assert first.model_id == second.model_id
    assert db["models"].count_documents({}) == 1
    assert registry.get(first.model_id).file == second_file
    assert registry.refers_to_file(second_file.name)
    assert not registry.refers_to_file(first_file.name)
    assert registry.referenced_files() == {second_file.name}
    assert registry.register(candidate("run 1", file=second_file, try_number=2), NOW).superseded is None


def test_an_older_try_may_not_overwrite_the_candidate_of_a_newer_one(registry: ModelRegistry) -> None:
    newer = stored_file("lstm_BTCUSDT_1h_20251122_000009.keras")
    model_id = register(registry, "run 1", try_number=2, file=newer)
    with pytest.raises(FencedError, match="try 2 has taken over"):
        register(registry, "run 1", try_number=1)
    assert registry.get(model_id).file == newer


@pytest.mark.parametrize("fate", ["champion", "archived"])
def test_a_repeated_run_never_overwrites_a_model_that_was_judged(registry: ModelRegistry, db: Db, fate: str) -> None:
    model_id = register(registry, "run 1")
    if fate == "champion":
        promote(registry, model_id, None)
    else:
        registry.archive(model_id, "not deployed: accuracy 0.58 below 0.60")
    again = register(registry, "run 1", try_number=2)
    assert again == "run 1:lstm:2"
    assert states(db) == {model_id: fate, again: "candidate"}


def test_a_candidate_whose_promotion_has_begun_is_not_overwritten_by_a_retry(registry: ModelRegistry, db: Db) -> None:
    champion, model_id = register(registry, "run 0"), register(registry, "run 1")
    promote(registry, champion, None)
    with pytest.raises(ChampionMovedError):
        promote(registry, model_id, None)
    file = registry.get(model_id).file
    assert (
        register(registry, "run 1", try_number=2, file=stored_file("lstm_BTCUSDT_1h_20251122_000002.keras")) != model_id
    )
    assert registry.get(model_id).file == file


def test_a_candidate_trained_again_after_it_was_judged_is_not_deployed(registry: ModelRegistry, db: Db) -> None:
    judged = stored_file("lstm_BTCUSDT_1h_20251122_000001.keras")
    model_id = register(registry, "run 1", file=judged)
    register(registry, "run 1", file=stored_file("lstm_BTCUSDT_1h_20251122_000002.keras"), try_number=2)
    with pytest.raises(BadInputError, match="trained again after it was judged"):
        promote(registry, model_id, None, sha256=judged.sha256)
    assert registry.champion("lstm", "BTCUSDT", "1h") is None
    assert history(db) == []


def test_one_run_that_trains_two_symbols_keeps_both(registry: ModelRegistry) -> None:
    assert register(registry, "run 1") == "run 1:lstm"
    assert register(registry, "run 1", symbol="ETHUSDT") == "run 1:lstm:2"
    assert register(registry, "run 1", symbol="ETHUSDT", try_number=2) == "run 1:lstm:2"


def test_archiving_a_candidate_keeps_it_and_a_champion_cannot_be_archived(registry: ModelRegistry, db: Db) -> None:
    first, second = register(registry, "run 1"), register(registry, "run 2")
    promote(registry, first, None)
    assert registry.archive(second, "not deployed", NOW)
    assert not registry.archive(second, "not deployed", NOW)
    assert states(db) == {first: "champion", second: "archived"}
    with pytest.raises(BadInputError, match="is the champion"):
        registry.archive(first, "no")
    with pytest.raises(BadInputError, match="Unknown model"):
        registry.archive("nobody", "no")


def test_a_pointer_to_a_lost_document_is_an_integrity_error(registry: ModelRegistry, db: Db) -> None:
    promote(registry, register(registry, "run 1"), None)
    db["models"].delete_many({})
    with pytest.raises(IntegrityError, match="not in the registry"):
        registry.champion("lstm", "BTCUSDT", "1h")
