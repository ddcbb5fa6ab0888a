"""A champion that fails too often in a row is taken back once, however many runs notice."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from include.ml.champion_health import ChampionFailure, Rollback, note_outcomes, rollback_message
from include.ml.model_record import ModelRecord
from include.notify.message import Severity
from sandbox.mongod import Mongod
from tests.ml.plain_models import NOW, PlainBench, damage_weights, shared_database

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def database(mongod: Mongod) -> Iterator[Database[dict[str, Any]]]:
    with shared_database(mongod) as shared:
        yield shared


@pytest.fixture
def bench(database: Database[dict[str, Any]], market_data_dir: Path, tmp_path: Path) -> PlainBench:
    return PlainBench(database, market_data_dir, tmp_path / "cache")


def failure(record: ModelRecord) -> ChampionFailure:
    return ChampionFailure(record.id, "lstm", "BTCUSDT", "1h", f"Model {record.id} cannot be read: corrupt")


def note(
    bench: PlainBench, run: str, failed: Sequence[ModelRecord] = (), well: Sequence[ModelRecord] = ()
) -> list[Rollback]:
    return note_outcomes(
        bench.db,
        bench.promotions,
        [failure(record) for record in failed],
        [record.id for record in well],
        limit=3,
        who=run,
        now=NOW,
    )


def counted(bench: PlainBench, record: ModelRecord) -> int:
    document = bench.db["champion_failures"].find_one({"_id": record.id})
    return document["failures"] if document else 0


def test_the_third_failure_in_a_row_brings_the_previous_champion_back(bench: PlainBench) -> None:
    old, new = bench.champion("old"), bench.champion("new")
    assert [note(bench, run, [new]) for run in ("run 1", "run 2")] == [[], []]
    assert bench.present == new.id
    [rollback] = note(bench, "run 3", [new])
    assert (rollback.done, rollback.from_model_id, rollback.to_model_id) == (True, new.id, old.id)
    assert bench.present == old.id
    record = bench.db["deployments"].find_one({"champion_id": "lstm:BTCUSDT:1h"}, sort=[("version", -1)])
    assert record is not None
    assert (record["kind"], record["who"]) == ("rollback", "automatic (run 3)")
    assert "3 failures in a row" in record["why"]
    assert note(bench, "run 4", [new]) == []
    assert bench.present == old.id


def test_a_run_that_goes_well_starts_the_count_anew(bench: PlainBench) -> None:
    bench.champion("old")
    new = bench.champion("new")
    for run in ("run 1", "run 2"):
        note(bench, run, [new])
    note(bench, "run 3", well=[new])
    assert counted(bench, new) == 0
    for run in ("run 4", "run 5"):
        note(bench, run, [new])
    assert (bench.present, counted(bench, new)) == (new.id, 2)


def test_a_run_counts_once_however_often_it_is_tried(bench: PlainBench) -> None:
    bench.champion("old")
    new = bench.champion("new")
    for run in ("run 1", "run 1", "run 2", "run 1", "run 2"):
        assert note(bench, run, [new]) == []
    assert counted(bench, new) == 2


def test_many_runs_that_notice_at_once_roll_back_once(bench: PlainBench) -> None:
    old, middle, new = (bench.champion(name) for name in ("old", "middle", "new"))
    for run in ("run 1", "run 2"):
        note(bench, run, [new])
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: note(bench, f"run {number}", [new]), range(3, 19)))
    done = [rollback for answer in answers for rollback in answer if rollback.done]
    assert {(rollback.to_model_id, rollback.version) for rollback in done} == {(middle.id, 4)}
    assert len({rollback_message(rollback, "run").dedupe_key for rollback in done}) == 1
    assert bench.present == middle.id != old.id
    assert bench.db["deployments"].count_documents({"kind": "rollback"}) == 1


def test_a_previous_champion_that_cannot_be_read_is_passed_over(bench: PlainBench) -> None:
    first, middle, new = (bench.champion(name) for name in ("first", "middle", "new"))
    damage_weights(bench.db, middle)
    rollbacks = [note(bench, f"run {number}", [new]) for number in range(3)][-1]
    assert (rollbacks[0].to_model_id, bench.present) == (first.id, first.id)
    assert f"Model {middle.id} cannot be read" in rollbacks[0].skipped[0]
    assert f"Not taken: {rollbacks[0].skipped[0]}" in rollback_message(rollbacks[0], "run").body


def test_a_previous_champion_whose_model_file_is_lost_is_passed_over_too(bench: PlainBench) -> None:
    first, middle, new = (bench.champion(name) for name in ("first", "middle", "new"))
    bench.files.remove(middle.file.name)
    [rollback] = [note(bench, f"run {number}", [new]) for number in range(3)][-1]
    assert rollback.to_model_id == first.id


def test_with_nothing_to_go_back_to_people_are_told_once_for_a_row_of_failures(bench: PlainBench) -> None:
    only = bench.champion("only")
    answers = [note(bench, f"run {number}", [only]) for number in range(5)]
    assert [len(answer) for answer in answers] == [0, 0, 1, 1, 1]
    rollback = answers[-1][0]
    assert (rollback.done, rollback.to_model_id) == (False, None)
    assert rollback.why_not is not None
    assert "nothing to roll back to" in rollback.why_not
    assert bench.present == only.id
    messages = [rollback_message(answer[0], "run") for answer in answers if answer]
    assert {message.severity for message in messages} == {Severity.CRITICAL}
    assert len({message.dedupe_key for message in messages}) == 1
    note(bench, "run 6", well=[only])
    later = note_outcomes(
        bench.db, bench.promotions, [failure(only)], [], limit=1, who="run 7", now=NOW + timedelta(days=1)
    )
    assert rollback_message(later[0], "run").dedupe_key != messages[0].dedupe_key


def test_where_every_earlier_model_is_unreadable_the_champion_stays_and_the_message_says_why(bench: PlainBench) -> None:
    old, new = bench.champion("old"), bench.champion("new")
    damage_weights(bench.db, old)
    [rollback] = [note(bench, f"run {number}", [new]) for number in range(3)][-1]
    assert (rollback.done, bench.present) == (False, new.id)
    message = rollback_message(rollback, "run")
    assert f"Model {old.id} cannot be read" in message.body
    assert 'train_model {"model_type": "lstm", "symbol": "BTCUSDT", "timeframe": "1h"}' in message.body


def test_the_message_says_from_to_why_and_what_to_do(bench: PlainBench) -> None:
    old, new = bench.champion("old"), bench.champion("new")
    [rollback] = [note(bench, f"run {number}", [new]) for number in range(3)][-1]
    message = rollback_message(rollback, "run-9")
    assert message.severity == Severity.CRITICAL
    assert (message.fields["From"], message.fields["To"], message.fields["Run"]) == (new.id, old.id, "run-9")
    assert f"Model {new.id} cannot be read: corrupt" in message.body
    assert "What to do: train a new model" in message.body
    assert message.dedupe_key == "rollback:lstm:BTCUSDT:1h:v3"


def test_nothing_is_written_while_all_is_well(bench: PlainBench) -> None:
    new = bench.champion("new")
    assert note(bench, "run 1", well=[new]) == []
    assert bench.db["champion_failures"].count_documents({}) == 0


def test_a_rollback_needs_no_tensorflow() -> None:
    code = "import sys, include.ml.champion_health, include.ml.promotion; print('tensorflow' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
