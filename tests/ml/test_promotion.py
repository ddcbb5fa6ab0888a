"""Judging, deploying, keeping and rolling back with real networks, real candles and real files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from include.errors import BadInputError, IntegrityError
from include.ml.champions import ChampionMovedError
from include.ml.promotion import champion_status
from tests.ml.registered import NOW, Bench


@pytest.fixture
def bench(db: Database[dict[str, Any]], market_data_dir: Path, tmp_path: Path) -> Bench:
    return Bench(db, market_data_dir, tmp_path / "cache")


def old_champion(bench: Bench, **changes: Any) -> str:
    return bench.champion(
        "old", bench.spec(trained_until_days_ago=40, holdout_days=12, ended_days_ago=28), **changes
    ).id


def new_candidate(bench: Bench, task_id: str = "new", **changes: Any) -> str:
    return bench.register(task_id, bench.spec(trained_until_days_ago=13, holdout_days=12), **changes).id


def state(bench: Bench, model_id: str) -> str:
    return bench.registry.get(model_id).state


@pytest.mark.critical
def test_tc_async_056_a_better_model_is_deployed_and_the_old_one_archived(bench: Bench) -> None:
    old, new = old_champion(bench, contrary=True), new_candidate(bench)
    judgement = json.loads(json.dumps(bench.promotions.judge(new), allow_nan=False))  # as it travels between tasks
    assert judgement["verdict"]["deploy"]
    sides = judgement["comparison"]
    assert sides["candidate"]["accuracy"] > sides["champion"]["accuracy"]
    moved = bench.promotions.deploy(judgement, who="adaptive_retrain run new")
    assert (moved["deployed"], moved["model_id"], moved["previous_model_id"], moved["version"]) == (True, new, old, 2)
    assert bench.present() == (new, 2)
    assert (state(bench, new), state(bench, old)) == ("champion", "archived")
    record = bench.db["deployments"].find_one({"_id": "lstm:BTCUSDT:1h:v2"})
    assert record is not None
    assert record["who"] == "adaptive_retrain run new"
    assert record["why"].startswith("deployed: accuracy")
    assert record["evidence"] == judgement


def test_tc_async_057_a_worse_model_is_kept_out_and_the_champion_stays(bench: Bench) -> None:
    old, new = old_champion(bench), new_candidate(bench, contrary=True)
    judgement = bench.promotions.judge(new)
    assert judgement["verdict"]["failed_condition"] == "worse"
    with pytest.raises(BadInputError, match="not to deploy"):
        bench.promotions.deploy(judgement, who="test")
    for _ in range(2):  # a retried task does it twice
        kept = bench.promotions.keep(judgement)
    assert kept["deployed"] is False
    assert kept["reason"].startswith("not deployed: accuracy")
    assert bench.present() == (old, 1)
    assert (state(bench, new), state(bench, old)) == ("archived", "champion")
    assert bench.files.load(bench.registry.get(new).file.name, bench.registry.get(new).file.sha256)


def test_an_equal_model_is_deployed_because_it_knows_fresher_data(bench: Bench) -> None:
    old_champion(bench)
    judgement = bench.promotions.judge(new_candidate(bench))
    assert judgement["verdict"]["deploy"]
    assert "equals the champion's" in judgement["verdict"]["reason"]


def test_the_first_model_ever_needs_no_comparison_but_the_minimum(bench: Bench) -> None:
    good, poor = new_candidate(bench), new_candidate(bench, "poor", accuracy=0.58)
    assert bench.promotions.judge(poor)["verdict"]["reason"] == "not deployed: accuracy 0.58 below 0.60"
    judgement = bench.promotions.judge(good)
    assert (judgement["comparison"]["status"], judgement["expected_model_id"]) == ("first_model", None)
    assert bench.promotions.deploy(judgement, who="test")["previous_model_id"] is None
    assert bench.present() == (good, 1)


def test_an_unreadable_champion_stays_untouched_until_a_person_decides(bench: Bench) -> None:
    old, new = old_champion(bench), new_candidate(bench)
    bench.damage(bench.registry.get(old))
    judgement = bench.promotions.judge(new)
    assert judgement["verdict"]["failed_condition"] == "champion_unreadable"
    bench.promotions.keep(judgement)
    assert bench.present() == (old, 1)
    moved = bench.promotions.promote_by_hand(new, who="operator", why="the old file is lost")
    assert (moved["model_id"], moved["previous_model_id"]) == (new, old)
    assert bench.present() == (new, 2)
    record = bench.db["deployments"].find_one({"_id": "lstm:BTCUSDT:1h:v2"})
    assert record is not None
    assert record["evidence"]["by_hand"] is True


def test_a_champion_that_changed_after_the_judgement_stops_the_deployment(bench: Bench) -> None:
    old, rival, new = old_champion(bench), new_candidate(bench, "rival"), new_candidate(bench)
    judgement = bench.promotions.judge(new)
    bench.promotions.deploy(bench.promotions.judge(rival), who="the other run")
    with pytest.raises(ChampionMovedError, match="rival:lstm"):
        bench.promotions.deploy(judgement, who="test")
    assert bench.present() == (rival, 2)
    bench.promotions.rollback("lstm", "BTCUSDT", "1h", who="operator", why="trading errors")
    assert bench.present() == (old, 3)
    with pytest.raises(ChampionMovedError):  # the same champion as then, but not the same situation
        bench.promotions.deploy(judgement, who="test")
    assert bench.promotions.deploy(bench.promotions.judge(new), who="test")["version"] == 4


def test_a_deployment_that_is_retried_is_made_once(bench: Bench) -> None:
    old_champion(bench)
    judgement = bench.promotions.judge(new_candidate(bench))
    assert bench.promotions.deploy(judgement, who="test") == bench.promotions.deploy(judgement, who="test")
    assert bench.db["deployments"].count_documents({}) == 2


def test_a_rollback_makes_sure_that_the_former_champion_still_opens(bench: Bench) -> None:
    old, new = old_champion(bench), new_candidate(bench)
    bench.promotions.deploy(bench.promotions.judge(new), who="test")
    bench.damage(bench.registry.get(old))
    with pytest.raises(IntegrityError, match="old:lstm"):
        bench.promotions.rollback("lstm", "BTCUSDT", "1h", who="operator", why="trading errors")
    assert bench.present() == (new, 2)


def test_numbers_that_are_not_finite_never_deploy_and_travel_as_none(bench: Bench) -> None:
    judgement = bench.promotions.judge(new_candidate(bench, accuracy=float("nan")))
    assert judgement["verdict"]["failed_condition"] == "not_a_number"
    assert judgement["holdout"]["accuracy"] is None
    json.dumps(judgement, allow_nan=False)


def test_the_status_names_the_champions_and_the_empty_places(bench: Bench) -> None:
    old = old_champion(bench)
    status = champion_status(bench.registry, "BTCUSDT", "1h")
    assert (status["gru"], status["transformer"]) == (None, None)
    assert status["lstm"] is not None
    assert (status["lstm"]["model_id"], status["lstm"]["accuracy"]) == (old, 0.70)
    assert status["lstm"]["champion_since"] == NOW.isoformat()


def three_champions(bench: Bench) -> tuple[str, str, str]:
    first, middle, new = old_champion(bench), new_candidate(bench, "middle"), new_candidate(bench)
    for before, after in ((first, middle), (middle, new)):
        bench.registry.promote(after, before, who="test", why="better", now=NOW)
    return first, middle, new


def test_a_person_may_go_further_back_when_the_previous_champion_does_not_open(bench: Bench) -> None:
    first, middle, new = three_champions(bench)
    bench.damage(bench.registry.get(middle))
    with pytest.raises(IntegrityError, match="middle:lstm"):
        bench.promotions.rollback("lstm", "BTCUSDT", "1h", who="operator", why="trading errors")
    assert bench.present() == (new, 3)
    moved = bench.promotions.rollback(
        "lstm", "BTCUSDT", "1h", who="operator", why="trading errors", skip_unreadable=True
    )
    assert (moved["model_id"], moved["previous_model_id"], moved["version"]) == (first, new, 4)
    assert "middle:lstm" in moved["skipped"][0]
    record = bench.db["deployments"].find_one({"_id": "lstm:BTCUSDT:1h:v4"})
    assert record is not None
    assert record["evidence"] == {"rolled_back_from": new, "skipped": moved["skipped"]}


def test_a_rollback_that_is_repeated_goes_back_once_and_one_that_comes_late_not_at_all(bench: Bench) -> None:
    first, middle, new = three_champions(bench)
    pointer = bench.registry.pointer("lstm", "BTCUSDT", "1h")
    assert pointer is not None
    asked = {"who": "operator", "why": "trading errors", "skip_unreadable": False}
    moves = [bench.promotions.rollback_from(pointer, **asked) for _ in range(2)]  # type: ignore[arg-type]
    assert moves[0] == moves[1]
    assert bench.present() == (middle, 4)
    bench.registry.promote(new_candidate(bench, "newest"), middle, who="test", why="better", now=NOW)
    with pytest.raises(ChampionMovedError, match="newest:lstm"):
        bench.promotions.rollback_from(pointer, **asked)  # type: ignore[arg-type]
    bench.registry.promote(new, "newest:lstm", who="operator", why="the same champion, another situation", now=NOW)
    with pytest.raises(ChampionMovedError, match="version 6"):
        bench.promotions.rollback_from(pointer, **asked)  # type: ignore[arg-type]
    assert bench.present() == (new, 6) != (first, 6)
