"""The daily score of the champions, the history that is read from it, and what in it is a reason to act."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from include.ml.accuracy_findings import accuracy_findings, find_declines
from include.ml.registry import ModelRegistry
from include.ml.scores import MIN_SCORED_BARS, accuracy_history, score_champions
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
        assert accuracy_history(bench.db, "BTCUSDT", "1h", now=NOW) == {}


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


def point(day: int, accuracy: float, bars: int = 300, model_id: str = "m") -> dict[str, Any]:
    date = (datetime(2025, 11, 1, tzinfo=UTC) + day * DAY).date().isoformat()
    return {"date": date, "accuracy": accuracy, "bars": bars, "model_id": model_id}


@pytest.mark.parametrize(
    ("points", "kinds"),
    [
        ([point(0, 0.72), point(7, 0.71)], []),
        ([point(0, 0.72), point(7, 0.66)], ["drop"]),
        ([point(0, 0.70), point(7, 0.65)], []),  # exactly 5 points, exactly 0.65
        ([point(0, 0.71), point(7, 0.66)], []),
        ([point(0, 0.75), point(7, 0.70)], []),
        ([point(0, 0.70), point(7, 0.6499)], ["drop", "low"]),
        ([point(0, 0.72), point(8, 0.66)], []),  # more than 7 days apart
        ([point(0, 0.66), point(3, 0.74), point(7, 0.68)], ["drop"]),  # the best of the days before counts
        ([point(0, 0.60), point(7, 0.72)], []),  # it rose
        ([point(7, 0.60)], ["low"]),
        ([point(0, 0.72), point(7, 0.50, bars=149)], []),  # too few bars say nothing
        ([point(0, 0.90, bars=149), point(7, 0.70)], []),
        ([point(0, 0.80, model_id="former"), point(7, 0.70)], []),  # another model, other bars
        ([point(0, 0.50, model_id="former")], []),
        ([], []),
    ],
)
def test_tc_async_052_what_counts_as_a_drop_and_what_as_low(points: list[dict[str, Any]], kinds: list[str]) -> None:
    findings = find_declines({"lstm": points}, {"lstm": "m"}, min_bars=150)
    assert [finding.kind for finding in findings] == kinds
    for finding in findings:
        assert f"({finding.bars} bars)" in finding.message
        assert finding.to_dict()["accuracy"] == points[-1]["accuracy"]


def stored_point(db: Database[dict[str, Any]], day: int, accuracy: float | None, **changes: Any) -> None:
    at = datetime(2025, 11, 1, 2, tzinfo=UTC) + day * DAY
    document = {
        "_id": f"{changes.get('model_id', 'run:lstm')}@{at.date()}", "timestamp": at, "date": at.date().isoformat(),
        "model_type": "lstm", "symbol": "BTCUSDT", "timeframe": "1h", "model_id": "run:lstm", "accuracy": accuracy,
        "baseline_accuracy": 0.7, "skill": 0.0, "skill_low": -0.1, "skill_high": 0.1, "edge": False, "bars": 300,
    }  # fmt: skip
    db["model_scores"].insert_one({**document, **changes})


def test_the_history_is_oldest_first_of_one_symbol_and_of_the_days_asked_for(db: Database[dict[str, Any]]) -> None:
    for day, accuracy in [(7, 0.66), (0, 0.75), (5, 0.70), (6, None)]:
        stored_point(db, day, accuracy)
    stored_point(db, 6, 0.5, _id="other", symbol="ETHUSDT")
    stored_point(db, 6, 0.5, _id="another", timeframe="4h")
    stored_point(db, 7, 0.69, _id="gru", model_type="gru")
    now = datetime(2025, 11, 8, 3, tzinfo=UTC)
    history = accuracy_history(db, "BTCUSDT", "1h", now=now)
    assert list(history) == ["lstm", "gru"]
    assert [(p["date"], p["accuracy"]) for p in history["lstm"]] == [
        ("2025-11-01", 0.75),
        ("2025-11-06", 0.70),
        ("2025-11-08", 0.66),
    ]
    assert [p["accuracy"] for p in accuracy_history(db, "BTCUSDT", "1h", days=2, now=now)["lstm"]] == [0.70, 0.66]


def test_the_findings_are_about_the_present_champion(db: Database[dict[str, Any]]) -> None:
    registry, now = ModelRegistry(db), datetime(2025, 11, 8, 3, tzinfo=UTC)
    model_id = registry.register(candidate("run"), now).model_id
    stored_point(db, 0, 0.72)
    stored_point(db, 7, 0.60)
    assert accuracy_findings(db, "BTCUSDT", "1h", min_bars=150, now=now) == []  # nobody is champion
    registry.promote(model_id, None, who="test", why="first")
    findings = accuracy_findings(db, "BTCUSDT", "1h", min_bars=150, now=now)
    assert [finding.kind for finding in findings] == ["drop", "low"]
    assert findings[0].message == (
        "lstm accuracy fell from 72.0% on 2025-11-01 (300 bars) to 60.0% on 2025-11-08 (300 bars): "
        "more than 5 points within 7 days"
    )
    assert accuracy_findings(db, "BTCUSDT", "1h", min_bars=301, now=now) == []
