"""Old and new model on the same bars that neither has seen, or no comparison at all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo.database import Database

from include.errors import IntegrityError
from include.market.timeframes import DAY_MS
from include.ml.comparison import Comparison, common_start_ms, compare
from include.ml.model_files import ModelFileStore
from include.ml.model_record import ModelRecord
from include.ml.spec import ModelSpec
from tests.ml.registered import HOUR_MS, KEY, NOW_MS, Bench

SPEC = ModelSpec(
    "lstm", "BTCUSDT", "1h", "trend", 8, 60, ("a",), (0.0,), (1.0,), (1,), (0.5,), 0, 0, 0, 0, 1, 1, 1, 1, ""
)  # fmt: skip


@pytest.fixture
def bench(db: Database[dict[str, Any]], market_data_dir: Path, tmp_path: Path) -> Bench:
    return Bench(db, market_data_dir, tmp_path / "cache")


def compared(bench: Bench, candidate: ModelRecord, champion: ModelRecord | None, **changes: Any) -> Comparison:
    arguments = {"files": bench.files, "candle_store": bench.candle_store, "min_bars": 150, **changes}
    return compare(candidate, champion, **arguments)


@given(split=st.integers(0, 5000), trained_until=st.integers(0, 5000))
def test_the_common_bars_begin_after_the_split_and_after_the_champions_training_horizon_and_gap(
    split: int, trained_until: int
) -> None:
    candidate = replace(SPEC, split_ms=split * HOUR_MS)
    champion = replace(SPEC, training_end_ms=trained_until * HOUR_MS)
    start = common_start_ms(candidate, champion)
    assert start >= candidate.split_ms
    assert start >= champion.training_end_ms + (8 + 8) * HOUR_MS
    assert start in (candidate.split_ms, champion.training_end_ms + 16 * HOUR_MS)


def test_without_a_champion_nothing_is_compared(bench: Bench) -> None:
    candidate = bench.register("new", bench.spec(trained_until_days_ago=13, holdout_days=12))
    assert compared(bench, candidate, None).status == "first_model"


def test_the_same_model_scores_the_same_on_the_same_bars(bench: Bench) -> None:
    candidate = bench.register("new", bench.spec(trained_until_days_ago=13, holdout_days=12))
    champion = bench.register("old", bench.spec(trained_until_days_ago=40, holdout_days=12, ended_days_ago=28))
    comparison = compared(bench, candidate, champion, champion_version=3)
    assert comparison.status == "compared"
    assert comparison.start_ms == NOW_MS - 12 * DAY_MS
    assert comparison.end_ms == NOW_MS
    assert comparison.bars == 12 * 24 - 8  # the newest 8 have no label yet
    assert comparison.candidate == comparison.champion
    assert comparison.candidate is not None
    assert comparison.candidate["bars"] == comparison.bars
    assert (comparison.champion_model_id, comparison.champion_version) == ("old:lstm", 3)
    assert json.loads(json.dumps(comparison.to_dict(), allow_nan=False)) == comparison.to_dict()


def test_a_champion_trained_on_a_part_of_the_candidates_holdout_is_compared_on_later_bars_only(bench: Bench) -> None:
    candidate = bench.register("new", bench.spec(trained_until_days_ago=13, holdout_days=12))
    champion = bench.register(
        "old", bench.spec(trained_until_days_ago=9, holdout_days=2, ended_days_ago=6), contrary=True
    )
    comparison = compared(bench, candidate, champion)
    assert comparison.status == "compared"
    assert comparison.start_ms == NOW_MS - 9 * DAY_MS + 16 * HOUR_MS
    assert comparison.bars == 9 * 24 - 16 - 8
    new, old = comparison.accuracies
    assert new > 0.5 > old
    assert new + old == pytest.approx(1.0, abs=0.02)  # the opposite of each other, on the same bars


@pytest.mark.parametrize(("hours", "status"), [(174, "compared"), (173, "not_possible"), (0, "not_possible")])
def test_fewer_bars_than_asked_for_are_no_comparison(bench: Bench, hours: int, status: str) -> None:
    candidate = bench.register("new", bench.spec(trained_until_days_ago=13, holdout_days=12))
    champion = bench.register("old", bench.spec(trained_until_days_ago=hours / 24, holdout_days=0))
    comparison = compared(bench, candidate, champion)
    assert comparison.status == status
    assert comparison.bars == max(0, hours - 16 - 8)
    if status == "not_possible":
        assert f"{comparison.bars} bars that neither has seen, 150 are needed" in comparison.reason
        assert comparison.candidate is None
        assert comparison.champion is None


@pytest.mark.parametrize("damage", ["changed", "wrong key", "missing", "description", "no keras file"])
def test_a_champion_that_cannot_be_read_is_said_to_be_so(bench: Bench, tmp_path: Path, damage: str) -> None:
    candidate = bench.register("new", bench.spec(trained_until_days_ago=13, holdout_days=12))
    champion = bench.register("old", bench.spec(trained_until_days_ago=40, holdout_days=12))
    files = bench.files
    if damage == "changed":
        bench.damage(champion)
    elif damage == "wrong key":
        files = ModelFileStore(bench.db, bytes(reversed(KEY)), tmp_path / "cache")
    elif damage == "missing":
        files.remove(champion.file.name)
    elif damage == "description":
        champion = replace(champion, spec={"window": 60})
    else:
        stored = files.save_model("lstm", "BTCUSDT", "1h", b"not a zip", bench.promotions.now())
        champion = replace(champion, file=stored)
    comparison = compared(bench, candidate, champion, files=files)
    assert comparison.status == "champion_unreadable"
    assert "old:lstm" in comparison.reason
    words = {
        "changed": "corrupt in the database", "wrong key": "another key", "missing": "missing from the database",
        "description": "does not fit this code", "no keras file": "corrupt or truncated",
    }  # fmt: skip
    assert words[damage] in comparison.reason


def test_a_candidate_that_cannot_be_read_is_an_error(bench: Bench) -> None:
    candidate = bench.register("new", bench.spec(trained_until_days_ago=13, holdout_days=12))
    champion = bench.register("old", bench.spec(trained_until_days_ago=40, holdout_days=12))
    bench.damage(candidate)
    with pytest.raises(IntegrityError, match="new:lstm"):
        compared(bench, candidate, champion)


def test_models_that_answer_different_questions_are_not_compared(bench: Bench) -> None:
    candidate = bench.register("new", bench.spec(trained_until_days_ago=13, holdout_days=12))
    other = replace(bench.spec(trained_until_days_ago=40, holdout_days=12), target="return")
    comparison = compared(bench, candidate, bench.register("old", other))
    assert comparison.status == "not_possible"
    assert "the champion predicts the return over 8 bars, the candidate the trend" in comparison.reason
