"""Storage under failure on the running Airflow: a MongoDB that hangs, killed and cancelled runs, planted secrets."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from bson import json_util

from include.audit.journal import Journal
from include.store import collections
from include.store.leases import LeaseStore, Owner
from ops.status import Status
from tests.chain.conftest import Bundle, RunView, eventually

SECRETS = {
    "key": "sk-PLANTEDkey1234567890abcd",
    "password": "PLANTEDhunter2hunter2",
    "token": "xoxb-PLANTED-1234567890-abcdef",
    "uri": "PLANTEDuser:PLANTEDpass",
}
PLANTED = (
    f"because {SECRETS['key']} and password={SECRETS['password']} and {SECRETS['token']} "
    f"and mongodb://{SECRETS['uri']}@db.example:27017/admin"
)


@contextmanager
def hanging_mongod(bundle: Bundle) -> Iterator[None]:
    """MongoDB accepts connections and answers nothing, as on a host that swaps or a disk that hangs."""
    pid = Status.read(bundle.run_dir.status_file).components["mongod"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def journal_rows(bundle: Bundle) -> list[dict[str, Any]]:
    """Return the audit rows that are still on the disk."""
    folder = bundle.state_dir / "spool" / "audit"
    return [
        json.loads(line)
        for path in Journal(folder, 1).pending(10_000)
        for line in path.read_text().splitlines()
        if '"_id"' in line
    ]


def running_try(bundle: Bundle, run_id: str) -> dict[str, Any] | None:
    """Return the row of a try that has started and not ended, as the disk says."""
    rows = [row for row in journal_rows(bundle) if row["run_id"] == run_id and "pid" in row]
    ended = {row["_id"] for row in rows if row["source"] == "task_end"}
    return next((row for row in rows if row["_id"] not in ended), None)


def kill_try(bundle: Bundle, run_id: str) -> str | None:
    """Kill the process of a running try and return its row's id; None when there is none at this moment."""
    row = running_try(bundle, run_id)
    if row is None:
        return None
    try:
        os.kill(row["pid"], signal.SIGKILL)
    except ProcessLookupError:
        return None
    return str(row["_id"])


def replay(bundle: Bundle) -> dict[str, Any]:
    """Store what waits; return what the task says."""
    run = bundle.run("replay_pending")
    assert run.tasks["replay_spool"] == "success", run.story
    said: dict[str, Any] = run.xcom("replay_spool")
    return said


def audit(bundle: Bundle, run_id: str) -> dict[tuple[str, int], dict[str, Any]]:
    rows = bundle.db[collections.AUDIT_LOG].find({"run_id": run_id})
    return {(row["task_id"], row["attempt"]): row for row in rows}


def letter(bundle: Bundle, run_id: str) -> dict[str, Any]:
    found = list(bundle.db[collections.DEAD_LETTERS].find({"run_id": run_id}))
    assert len(found) == 1, f"{len(found)} dead letters of {run_id}"
    return found[0]


@pytest.mark.critical
def test_a_mongodb_that_hangs_loses_nothing_and_stalls_nobody(bundle: Bundle) -> None:
    claim = LeaseStore(bundle.db)
    with hanging_mongod(bundle):
        killed, cancelled = bundle.start("predict_price"), bundle.start("predict_price")
        report, refused = (
            bundle.start("daily_performance_analysis"),
            bundle.start("replay_dead_letters", {"ids": ["x"]}),
        )
        killed_row = eventually(lambda: kill_try(bundle, killed))
        # The API server goes on: it cancels a run and writes its dead letter.
        eventually(lambda: running_try(bundle, cancelled))
        bundle.client.cancel("predict_price", cancelled)
        # The scheduler goes on: it ends runs and writes their dead letters.
        assert bundle.finish("replay_dead_letters", refused).state == "failed"
        done = bundle.finish("daily_performance_analysis", report)
        assert done.state == "success", done.story
        waiting = bundle.state_dir / "spool"
        assert [path for path in waiting.glob("*.json") if report in path.read_text()], "the result waits on the disk"
        assert len(list((waiting / "dead_letters").glob("*.json"))) >= 2
    again = bundle.finish("predict_price", killed)
    assert again.state == "failed", "no MongoDB, or no champion in it"
    claim.acquire("train:lstm:SWEPT", Owner("predict_price", killed), 1, 3600)
    said = replay(bundle)
    assert said["results"]["problem"] is None
    assert said["results"]["damaged"] == []

    # The result and its message: once.
    assert bundle.db[collections.PERFORMANCE_METRICS].count_documents({"_id": report}) == 1
    assert len(bundle.messages(report)) == 1
    assert len([mail for mail in bundle.control.messages("slack") if report in json.dumps(mail)]) <= 1

    # Audit rows of every task, also of those that never ran or could say nothing.
    rows = audit(bundle, report)
    assert {task for task, _ in rows} == set(done.tasks)
    assert {task: row["state"] for (task, _), row in rows.items()} == done.tasks
    row = rows["measure", 1]
    assert (row["who"], row["dag_id"], row["source"]) == ("admin", "daily_performance_analysis", "task_end")
    assert row["started_at"] < row["ended_at"]
    assert row["duration_s"] > 0
    tries = {attempt: row["state"] for (_, attempt), row in audit(bundle, killed).items()}
    assert tries[max(tries)] == "failed"
    assert sorted(tries) == list(range(1, len(tries) + 1)), "one row a try"

    # The killed try could say nothing itself: the scheduler did, or the end of its run.
    row = bundle.db[collections.AUDIT_LOG].find_one({"_id": killed_row}) or {}
    assert row.get("state") in ("killed", "up_for_retry"), row
    assert "MongoDB" not in str(row.get("error") or "MongoDB"), row
    assert row["pid"], "its process is known"

    # Dead letters: of the run that failed, and, out of the way, of the one that a person failed.
    found = letter(bundle, refused)
    assert (found["state"], found["cancelled"], found["who"]) == ("waiting", False, "admin")
    assert {task["task_id"] for task in found["failed_tasks"]} >= {"plan"}
    assert any("ids must be a list" in str(task["error"]) for task in found["failed_tasks"])
    assert (letter(bundle, cancelled)["state"], letter(bundle, cancelled)["cancelled"]) == ("dismissed", True)

    # The claim of a run that is over is ended by the sweeper.
    swept = bundle.run("sweep_leases")
    assert swept.state == "success", swept.story
    assert "train:lstm:SWEPT" in [ended["key"] for ended in swept.xcom("end_claims")["ended"]]


def replay_letters(bundle: Bundle, **conf: Any) -> RunView:
    run = bundle.run("replay_dead_letters", conf)
    assert run.state == "success", run.story
    return run


@pytest.mark.critical
def test_a_failed_run_is_run_again_from_its_dead_letter(bundle: Bundle) -> None:
    conf = {"model_type": "lstm", "symbol": "BTCUSDT", "reason": "{{ ds }} is no template here"}
    failed = bundle.run("rollback_model", conf)
    assert failed.state == "failed"
    damaged = bundle.state_dir / "spool" / f"{1:020d}-damaged.json"
    damaged.parent.mkdir(exist_ok=True)
    damaged.write_text('{"collection": "outbox", "docu')
    said = replay(bundle)
    assert (said["results"]["damaged"], said["alerts"]) == ([damaged.name], [f"spool:damaged:{damaged.name}"])
    assert (damaged.parent / "damaged" / damaged.name).exists()
    assert [message["severity"] for message in bundle.messages(damaged.name)] == ["critical"]
    name = f"rollback_model:{failed.run_id}"
    new = {"letter": name, "run": f"rollback_model:replay__{failed.run_id}"}
    shown = replay_letters(bundle, ids=[name]).xcom("show")
    assert (shown["would_replay"], shown["not_replayed"]) == ([new], [])
    assert not bundle.exists("rollback_model", f"replay__{failed.run_id}"), "a dry run starts nothing"
    assert replay_letters(bundle, ids=[name], dry_run=False).xcom("confirm")["replayed"] == [new]
    second = bundle.finish("rollback_model", f"replay__{failed.run_id}")
    assert second.state == "failed", "there still is no champion"
    assert bundle.client.run("rollback_model", second.run_id)["conf"] == conf
    once_more = replay_letters(bundle, ids=[name], dry_run=False).xcom("confirm")
    assert once_more["replayed"] == []
    assert "already" in once_more["not_replayed"][0]["why"]
    assert replay(bundle)["alerts"] == [], "said once"
    assert letter(bundle, failed.run_id)["replay_run_id"] == second.run_id
    assert letter(bundle, second.run_id)["origin"] == name


def planted_in(text: str) -> list[str]:
    return [name for name, secret in SECRETS.items() if any(part in text for part in secret.split(":"))]


@pytest.mark.critical
def test_planted_secrets_are_nowhere_afterwards(bundle: Bundle) -> None:
    """In a conf, in an error that a service caused, in what a run was asked for."""
    bundle.control.script("engine", "/api/*", status=500, body=f'{{"success": false, "error": "{PLANTED}"}}')
    conf = {"model_type": "lstm", "symbol": "BTCUSDT", "reason": PLANTED}
    analysis = {"reasoning": PLANTED, "api_key": SECRETS["password"]}
    started: dict[str, dict[str, Any]] = {
        "rollback_model": conf,
        "daily_performance_analysis": {},
        "adaptive_retrain": {"analysis_result": analysis, "symbol": "NOSUCHUSDT"},
    }
    runs = [bundle.finish(dag_id, run_id) for dag_id, run_id in [(d, bundle.start(d, c)) for d, c in started.items()]]
    assert [run.state for run in runs] == ["failed"] * 3
    before = files(bundle.state_dir)
    assert before, "rows and letters wait on the disk"
    replay(bundle)
    assert letter(bundle, runs[0].run_id)["give_again"] == ["reason"]
    refused = replay_letters(bundle, ids=[f"rollback_model:{runs[0].run_id}"], dry_run=False).xcom("confirm")
    assert "give them again" in refused["not_replayed"][0]["why"]

    for path, text in [*before.items(), *files(bundle.state_dir).items()]:
        assert planted_in(text) == [], path
    for name in bundle.db.list_collection_names():
        for document in bundle.db[name].find():
            assert planted_in(json_util.dumps(document)) == [], (name, document["_id"])
    assert planted_in(json.dumps(bundle.control.messages())) == []
    logs = bundle.run_dir.airflow_home / "logs"
    texts = {
        path: path.read_text(errors="replace") for run in runs for path in logs.rglob(f"run_id={run.run_id}/**/*.log")
    }
    assert len(texts) >= 3
    assert any("***" in text for text in texts.values()), "there was something to black out"
    for path, text in texts.items():
        assert planted_in(text) == [], path


def files(folder: Path) -> dict[Path, str]:
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and "models" not in path.parts:
            try:
                found[path] = path.read_text(errors="replace")
            except FileNotFoundError:
                continue
    return found
