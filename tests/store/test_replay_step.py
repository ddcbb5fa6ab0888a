"""The step of `replay_pending` as the task calls it, where MongoDB is no use: it ends green, and says why."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dags.wiring.outbox import deliver_outbox
from dags.wiring.replay import replay_spool
from include.settings import get_settings
from include.store.spool import Spool
from sandbox.mongod import free_port

AWAY = {
    "nobody answers": lambda: json.dumps(
        {"conn_type": "mongo", "host": "127.0.0.1", "port": free_port(), "extra": {"serverSelectionTimeoutMS": 100}}
    ),
    "the connection cannot even be read": lambda: "{not even JSON",
}


@pytest.fixture(params=AWAY)
def state_dir(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    monkeypatch.setenv("AIRFLOW_CONN_MONGO_DEFAULT", AWAY[request.param]())
    monkeypatch.setenv("TRADING_OPS_STATE_DIR", str(tmp_path))
    monkeypatch.setattr("include.store.durable.TIMEOUT_S", 0.3)
    monkeypatch.setattr("include.notify.channel_state.MONGO_TIMEOUT_S", 0.3)
    get_settings.cache_clear()
    yield tmp_path
    get_settings.cache_clear()


@pytest.mark.critical
def test_both_steps_end_and_say_what_is_wrong(state_dir: Path) -> None:
    """An error here would be retried after a minute, two, five: so long nothing would be replayed after the outage."""
    letters = Spool(state_dir / "spool" / "dead_letters")
    letters.append("dead_letters", {"_id": "d:r", "dag_id": "d", "run_id": "r", "failed_tasks": []})
    said = replay_spool()
    assert json.loads(json.dumps(said)) == said
    assert len(letters.pending()) == 1
    outage = deliver_outbox()["outage"]
    assert "MongoDB" in outage or "mongo_default" in outage


def test_what_killed_processes_have_left_half_written_is_removed(state_dir: Path) -> None:
    old = time.time() - 2 * 86_400
    torn = [state_dir / "spool" / folder / "x.tmp" for folder in ("", "audit", "dead_letters")]
    for path in torn:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (old, old))
    replay_spool()
    assert [path for path in torn if path.exists()] == []
