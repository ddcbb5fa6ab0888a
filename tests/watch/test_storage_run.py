"""Storage under failure on the running Airflow: dead letters, planted secrets. The outage is in the fault table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bson import json_util

from tests.chain.conftest import Bundle, RunView
from tests.watch.traces import letter

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


def replay(bundle: Bundle) -> dict[str, Any]:
    """Store what waits; return what the task says."""
    run = bundle.run("replay_pending")
    assert run.tasks["replay_spool"] == "success", run.story
    said: dict[str, Any] = run.xcom("replay_spool")
    return said


def replay_letters(bundle: Bundle, **conf: Any) -> RunView:
    run = bundle.run("replay_dead_letters", conf)
    assert run.state == "success", run.story
    return run


def planted_in(text: str) -> list[str]:
    return [name for name, secret in SECRETS.items() if any(part in text for part in secret.split(":"))]


@pytest.mark.critical
def test_failed_runs_are_run_again_from_their_letters_and_planted_secrets_are_nowhere(bundle: Bundle) -> None:
    """The secrets are in a conf, in an error that a service caused, in what a run was asked for."""
    bundle.control.script("engine", "/api/*", status=500, body=f'{{"success": false, "error": "{PLANTED}"}}')
    conf = {"model_type": "lstm", "symbol": "BTCUSDT", "reason": "{{ ds }} is no template here"}
    analysis = {"reasoning": PLANTED, "api_key": SECRETS["password"]}
    started = [
        (dag_id, bundle.start(dag_id, asked))
        for dag_id, asked in (
            ("rollback_model", conf),
            ("rollback_model", {**conf, "reason": PLANTED}),
            ("daily_performance_analysis", {}),
            ("adaptive_retrain", {"analysis_result": analysis, "symbol": "NOSUCHUSDT"}),
        )
    ]
    runs = [bundle.finish(dag_id, run_id) for dag_id, run_id in started]
    assert [run.state for run in runs] == ["failed"] * 4
    failed, with_secrets = runs[:2]
    damaged = bundle.state_dir / "spool" / f"{1:020d}-damaged.json"
    damaged.parent.mkdir(exist_ok=True)
    damaged.write_text('{"collection": "outbox", "docu')
    before = files(bundle.state_dir)
    assert before, "rows and letters wait on the disk"
    said = replay(bundle)
    assert (said["results"]["damaged"], said["alerts"]) == ([damaged.name], [f"spool:damaged:{damaged.name}"])
    assert (damaged.parent / "damaged" / damaged.name).exists()
    assert [message["severity"] for message in bundle.messages(damaged.name)] == ["critical"]
    assert letter(bundle, with_secrets.run_id)["give_again"] == ["reason"]

    letters = [f"rollback_model:{run.run_id}" for run in (failed, with_secrets)]
    new = {"letter": letters[0], "run": f"rollback_model:replay__{failed.run_id}"}
    shown = replay_letters(bundle, ids=letters).xcom("show")
    assert shown["would_replay"] == [new]
    assert not bundle.exists("rollback_model", f"replay__{failed.run_id}"), "a dry run starts nothing"
    done = replay_letters(bundle, ids=letters, dry_run=False).xcom("confirm")
    assert done["replayed"] == [new]
    for answer in (shown, done):
        (kept_back,) = answer["not_replayed"]
        assert "give them again" in kept_back["why"]
    second = bundle.finish("rollback_model", f"replay__{failed.run_id}")
    assert second.state == "failed", "there still is no champion"
    assert bundle.client.run("rollback_model", second.run_id)["conf"] == conf
    once_more = replay_letters(bundle, ids=letters[:1], dry_run=False).xcom("confirm")
    assert once_more["replayed"] == []
    assert "already" in once_more["not_replayed"][0]["why"]
    assert replay(bundle)["alerts"] == [], "said once"
    assert letter(bundle, failed.run_id)["replay_run_id"] == second.run_id
    assert letter(bundle, second.run_id)["origin"] == letters[0]

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
    assert len(texts) >= 4
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
