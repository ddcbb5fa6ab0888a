"""The daily score of the champions."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from include.errors import IntegrityError
from include.ml.model_files import ModelFileStore
from include.ml.model_record import ModelRecord
from include.ml.scores import MIN_SCORED_BARS, score_champions
from tests.ml.models import candidate
from tests.ml.registered import NOW, Bench

DAY = timedelta(days=1)


@pytest.fixture
def bench(db: Database[dict[str, Any]], market_data_dir: Path, tmp_path: Path) -> Bench:
    return Bench(db, market_data_dir, tmp_path / "cache")


def test_a_champion_is_scored_on_the_bars_since_its_training_end_and_a_retry_overwrites(bench: Bench) -> None:
    record = bench.champion("old", bench.spec(trained_until_days_ago=20, holdout_days=6, ended_days_ago=14))
    [document] = score_champions(bench.db, bench.files, bench.candle_store, NOW)
    assert document["bars"] == 20 * 24 - 16 - 8  # less horizon and gap, less the bars without a label yet
    assert 0.6 < document["accuracy"] < 0.85
    assert document["skill"] == pytest.approx(document["accuracy"] - document["baseline_accuracy"])
    assert document["skill_low"] <= document["skill"] <= document["skill_high"]
    assert (document["model_id"], document["date"], document["reason"]) == (record.id, "2024-06-01", None)
    assert score_champions(bench.db, bench.files, bench.candle_store, NOW + timedelta(hours=1)) != [document]
    assert bench.db["model_scores"].count_documents({}) == 1
    score_champions(bench.db, bench.files, bench.candle_store, NOW + DAY)
    assert sorted(d["date"] for d in bench.db["model_scores"].find()) == ["2024-06-01", "2024-06-02"]


@pytest.mark.parametrize(("hours", "scored"), [(16 + 8 + MIN_SCORED_BARS, True), (16 + 8 + MIN_SCORED_BARS - 1, False)])
def test_too_few_bars_are_stored_without_an_accuracy_and_with_the_reason(
    bench: Bench, hours: int, scored: bool
) -> None:
    bench.champion("old", bench.spec(trained_until_days_ago=hours / 24, holdout_days=1))
    [document] = score_champions(bench.db, bench.files, bench.candle_store, NOW)
    assert (document["accuracy"] is not None) == scored
    assert document["unreadable"] is False
    if not scored:
        assert document["reason"] == "23 bars with a known label since its training end, 24 are needed"
        assert document["bars"] == 23


def test_a_champion_that_cannot_be_read_does_not_keep_the_others_from_being_scored(bench: Bench) -> None:
    lost = bench.champion("lost", bench.spec(trained_until_days_ago=20, holdout_days=6))
    bench.files.remove(lost.file.name)
    spec = bench.spec(trained_until_days_ago=20, holdout_days=6).to_dict()
    stored = bench.files.save_model("transformer", "BTCUSDT", "1h", bench.network.good, NOW)
    other = bench.registry.register(candidate("other", "transformer", file=stored, spec=spec), NOW).model_id
    bench.registry.promote(other, None, who="test", why="first")
    by_type = {d["model_type"]: d for d in score_champions(bench.db, bench.files, bench.candle_store, NOW)}
    assert (by_type["lstm"]["accuracy"], by_type["lstm"]["unreadable"]) == (None, True)
    assert "missing from the database" in by_type["lstm"]["reason"]
    assert by_type["transformer"]["accuracy"] > 0.5


def test_without_champions_there_is_nothing_to_score(bench: Bench) -> None:
    assert score_champions(bench.db, bench.files, bench.candle_store, NOW) == []


def test_bars_up_to_the_given_moment_of_the_market_count(bench: Bench) -> None:
    bench.champion("old", bench.spec(trained_until_days_ago=20, holdout_days=6))
    yesterday = int((NOW - DAY).timestamp() * 1000)
    [whole] = score_champions(bench.db, bench.files, bench.candle_store, NOW)
    [part] = score_champions(bench.db, bench.files, bench.candle_store, NOW, until_ms=yesterday)
    assert part["bars"] == whole["bars"] - 24
    assert part["date"] == whole["date"]


def test_a_champion_that_forecasts_could_not_use_is_no_better_than_an_unreadable_one(bench: Bench) -> None:
    record = bench.champion("old", bench.spec(trained_until_days_ago=20, holdout_days=6))

    def check(asked: ModelRecord) -> None:
        raise IntegrityError(f"Model {asked.id} cannot be read: its weights are corrupt")

    [document] = score_champions(bench.db, bench.files, bench.candle_store, NOW, check=check)
    assert (document["accuracy"], document["unreadable"], document["champion_at_fault"]) == (None, True, True)
    assert document["reason"] == f"Model {record.id} cannot be read: its weights are corrupt"


def test_a_champion_stored_with_another_key_is_unreadable_but_not_at_fault(bench: Bench, tmp_path: Path) -> None:
    bench.champion("old", bench.spec(trained_until_days_ago=20, holdout_days=6))
    files = ModelFileStore(bench.db, bytes(32), tmp_path / "other")
    [document] = score_champions(bench.db, files, bench.candle_store, NOW)
    assert (document["unreadable"], document["champion_at_fault"]) == (True, False)
    assert "encrypted with another key" in document["reason"]
