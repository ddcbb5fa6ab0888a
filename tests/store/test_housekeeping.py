"""Sweeping and retention: what is over or old goes, what lives or is in use stays."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from include.ml.checkpoints import sweep_checkpoints
from include.settings import Settings
from include.store import collections as names
from include.store.lease_sweep import sweep_leases
from include.store.leases import LeaseStore, Owner
from include.store.log_retention import remove_old_logs
from include.store.retention import remove_old, rules
from tests.store.waiting import eventually

Db = Database[dict[str, Any]]
NOW = datetime(2026, 7, 1, tzinfo=UTC)
KEPT = (
    names.MODELS, names.CHAMPIONS, names.DEPLOYMENTS, names.CANDLES, names.GPT4_BUDGET, names.GPT4_SWITCH,
    names.GPT4_SWITCH_HISTORY, names.KILL_SWITCH, names.KILL_SWITCH_HISTORY, names.MODEL_WEIGHTS, names.LEASES,
)  # fmt: skip


@pytest.mark.critical
def test_claims_of_ended_runs_are_ended_and_live_ones_never(db: Db) -> None:
    leases = LeaseStore(db)
    running, over = Owner("train_model", "running"), Owner("train_model", "over")
    leases.acquire("a", running, 1, 600)
    leases.acquire("b", over, 1, 600)
    leases.acquire("c", over, 2, 600)
    leases.acquire("d", running, 1, 0.01)
    eventually(lambda: leases.holder("d") is None)  # expired by MongoDB's clock, its run still runs
    asked: list[Owner] = []

    def is_over(owner: Owner) -> bool:
        asked.append(owner)
        return owner == over

    assert [ended["key"] for ended in sweep_leases(db, is_over)] == ["b", "c"]
    assert [lease.key for lease in leases.all()] == ["a", "d"]
    assert len(asked) == 2, "each run is asked about once"
    assert sweep_leases(db, is_over) == []


def test_a_claim_taken_anew_meanwhile_stays(db: Db) -> None:
    leases = LeaseStore(db)
    leases.acquire("a", Owner("train_model", "over"), 1, 600)

    def is_over(owner: Owner) -> bool:
        leases.release_run(owner)
        leases.acquire("a", Owner("train_model", "next"), 1, 600)
        return True

    assert sweep_leases(db, is_over) == []
    assert [lease.owner.run_id for lease in leases.all()] == ["next"]


@pytest.mark.critical
def test_retention_removes_what_is_old_and_only_that(db: Db) -> None:
    settings = Settings(result_retention_days=30, audit_retention_days=60)
    fields = {rule.collection: rule.time_field for rule in rules(settings) if "started_at" not in rule.only}
    edge = dict.fromkeys(fields, 30) | {names.AUDIT_LOG: 60, names.OPTIMIZATION_VARIATIONS: 7}
    edge |= {names.GPT4_COSTS: 62, names.API_COST_HISTORY: 62}  # what a month's costs are added up from
    done = {names.OUTBOX: "delivered", names.DEAD_LETTERS: "replayed"}
    for name, at in fields.items():
        for age in (-1, 1):
            time = NOW - timedelta(days=edge[name], hours=age)
            state = {"state": done[name]} if name in done else {}
            db[name].insert_one({"_id": f"{age}", at: time, "dedupe_key": f"{age}", **state})
    ancient = NOW - timedelta(days=4000)
    untouchable = {
        names.OUTBOX: {"created_at": ancient, "state": "pending", "dedupe_key": "waits"},
        names.DEAD_LETTERS: {"failed_at": ancient, "state": "waiting"},
        names.TRAINING_JOBS: {"created_at": ancient, "status": "running"},
        **{name: {"timestamp": ancient, "created_at": ancient, "at": ancient, "symbol": name} for name in KEPT},
    }
    for name, document in untouchable.items():
        db[name].insert_one({"_id": "stays", **document})
    db[names.AUDIT_LOG].insert_one({"_id": "never started", "noted_at": ancient})
    counts = {rule.collection: 0 for rule in rules(settings)}
    for rule in rules(settings):
        counts[rule.collection] += remove_old(db, rule, NOW, dry_run=True)
    assert counts == dict.fromkeys(fields, 1) | {names.AUDIT_LOG: 2}
    assert db[names.AUDIT_LOG].count_documents({}) == 3, "a dry run removes nothing"
    assert sum(remove_old(db, rule, NOW) for rule in rules(settings)) == sum(counts.values())
    for name in fields:
        left = {document["_id"] for document in db[name].find()}
        assert left - {"stays"} == {"-1"}, name
    for name in untouchable:
        assert db[name].count_documents({"_id": "stays"}) == 1, name


def test_retention_goes_in_batches(db: Db, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("include.store.retention.BATCH", 7)
    db[names.HEALTH_REPORTS].insert_many([{"_id": n, "timestamp": NOW - timedelta(days=999)} for n in range(50)])
    (rule,) = [rule for rule in rules(Settings()) if rule.collection == names.HEALTH_REPORTS]
    assert remove_old(db, rule, NOW) == 50


def log(folder: Path, dag: str, run: str, age_days: float, text: str = "x" * 10) -> Path:
    path = folder / f"dag_id={dag}" / f"run_id={run}" / "task_id=t" / "attempt=1.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    moment = (NOW - timedelta(days=age_days)).timestamp()
    os.utime(path, (moment, moment))
    return path


@pytest.mark.critical
def test_old_logs_go_but_never_through_a_link_nor_of_a_running_run(tmp_path: Path) -> None:
    folder, outside = tmp_path / "logs", tmp_path / "outside"
    old, new, running = (log(folder, "d", run, age) for run, age in (("old", 9), ("new", 1), ("running", 9)))
    treasure = log(outside, "d", "treasure", 9)
    (folder / "dag_id=linked").symlink_to(outside / "dag_id=d")
    (folder / "dag_id=d" / "run_id=linked").symlink_to(outside / "dag_id=d" / "run_id=treasure")
    (old.parent / "attempt=2.log").symlink_to(treasure)
    scheduler = folder / "scheduler.log"
    scheduler.write_text("not a task's")
    os.utime(scheduler, (0, 0))
    (folder / "latest").symlink_to(folder)
    before = NOW - timedelta(days=7)

    def over(owner: Owner) -> bool:
        assert owner.run_id != "new", "only old runs are asked about"
        return owner.run_id != "running"

    removed = remove_old_logs(folder, before, over, dry_run=True)
    assert (removed.runs, removed.files, removed.bytes, removed.kept_running) == (1, 1, 10, 1)
    assert old.exists()
    assert remove_old_logs(folder, before, over) == removed
    assert not old.exists()
    assert all(path.exists() for path in (new, running, treasure, scheduler))
    assert remove_old_logs(tmp_path / "nowhere", before, over).files == 0


def test_a_file_that_cannot_be_removed_keeps_its_run_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign, own = (log(tmp_path, "d", run, 9) for run in ("a", "b"))
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path == foreign:
            raise PermissionError(errno.EPERM, "Operation not permitted", str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    removed = remove_old_logs(tmp_path, NOW - timedelta(days=7), lambda _: True)
    assert (removed.runs, removed.failed) == (1, 1)
    assert (foreign.exists(), own.exists()) == (True, False)


def test_the_dag_processors_logs_go_day_by_day(tmp_path: Path) -> None:
    days = {name: tmp_path / "dag_processor" / name for name in ("2026-06-23", "2026-06-24", "notes")}
    for folder in days.values():
        (folder / "trading_ops" / "dags").mkdir(parents=True)
        (folder / "trading_ops" / "dags" / "retention.py.log").write_text("x" * 10)
    (tmp_path / "dag_processor" / "latest").symlink_to(days["2026-06-24"])
    before = NOW - timedelta(days=7)
    assert remove_old_logs(tmp_path, before, lambda _: True, dry_run=True).processor_days == 1
    removed = remove_old_logs(tmp_path, before, lambda _: True)
    assert (removed.processor_days, removed.files, removed.bytes) == (1, 1, 10)
    assert {name: folder.exists() for name, folder in days.items()} == {
        "2026-06-23": False,
        "2026-06-24": True,
        "notes": True,
    }


def test_checkpoints_are_kept_as_long_as_is_configured(tmp_path: Path) -> None:
    for name, days in (("a", 8), ("b", 6)):
        path = tmp_path / f"{name}_epoch_0001.ckpt"
        path.write_bytes(b"x")
        moment = (NOW - timedelta(days=days)).timestamp()
        os.utime(path, (moment, moment))
    assert sweep_checkpoints(tmp_path, NOW, timedelta(days=7), dry_run=True) == ["a_epoch_0001.ckpt"]
    assert len(list(tmp_path.iterdir())) == 2
    sweep_checkpoints(tmp_path, NOW, timedelta(days=7))
    assert [path.name for path in tmp_path.iterdir()] == ["b_epoch_0001.ckpt"]
