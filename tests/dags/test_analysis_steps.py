"""The steps of the GPT-4 analysis where a whole run is not needed to see them: no key, no MongoDB."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dags.wiring import analysis
from include.settings import get_settings
from include.store.collections import GPT4_ANALYSIS_HISTORY
from include.store.spool import Spool
from sandbox.mongod import Mongod, free_port
from tests.analyst.evidence_parts import POOR, evidence_of

RUN_ID = "manual__2026-11-22T03:00:00+00:00"
EVIDENCE = evidence_of(POOR).model_dump(mode="json")


class TaskInstance:
    """XComs in memory, as one task instance sees its own and the others'."""

    try_number = 1

    def __init__(self, pushed: dict[tuple[str, str], Any] | None = None) -> None:
        self.values = pushed or {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.values["is_analysis_needed", key] = json.loads(json.dumps(value))

    def xcom_pull(self, task_ids: str, key: str = "return_value") -> Any:
        return self.values.get((task_ids, key))


def context(**pushed: Any) -> dict[str, Any]:
    values = {(task_id, "return_value"): value for task_id, value in pushed.items()}
    return {"ti": TaskInstance(values), "run_id": RUN_ID, "params": {}}


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("TRADING_OPS_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("TRADING_OPS_MONGO_DATABASE", "analysis_steps")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.fixture
def mongo(monkeypatch: pytest.MonkeyPatch, mongod: Mongod) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_MONGO_DEFAULT", json.dumps({"conn_type": "mongo", "host": "127.0.0.1", "port": mongod.port})
    )


@pytest.fixture
def mongo_away(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = {
        "conn_type": "mongo",
        "host": "127.0.0.1",
        "port": free_port(),
        "extra": {"serverSelectionTimeoutMS": 200},
    }
    monkeypatch.setenv("AIRFLOW_CONN_MONGO_DEFAULT", json.dumps(connection))
    monkeypatch.setattr("include.store.durable.TIMEOUT_S", 0.3)


@pytest.mark.usefixtures("mongo")
@pytest.mark.parametrize("key", [None, "", "   "])
def test_without_a_key_no_judge_is_asked_and_the_fallback_rule_decides(
    key: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if key is not None:
        monkeypatch.setenv("OPENAI_API_KEY", key)
        get_settings.cache_clear()
    run = context()
    assert analysis.choose_way(EVIDENCE, run) == "decide_without_judge"
    result = analysis.not_asked(EVIDENCE, run)
    assert result["status"] == "fallback"
    assert "OPENAI_API_KEY is not configured" in result["error"]
    assert result["analysis"]["decision"]["judge"] == "none"
    assert result["analysis"]["decision"]["retrain"] is True, "three metrics are critical"


@pytest.mark.usefixtures("mongo")
def test_with_a_key_the_judge_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "test-key")
    get_settings.cache_clear()
    run = context()
    assert analysis.choose_way(EVIDENCE, run) == "ask_gpt4"
    assert "win_rate is critical" in run["ti"].xcom_pull("is_analysis_needed", "reasons")


@pytest.mark.usefixtures("mongo_away")
def test_an_analysis_that_cannot_be_stored_waits_in_the_spool(tmp_path: Path) -> None:
    run = context(gather_evidence=EVIDENCE)
    run["ti"].values["is_analysis_needed", "reasons"] = ["win_rate is critical"]
    decided = analysis._fallback(EVIDENCE, "the endpoint is away", run)
    run["ti"].values["decide_after_failed_call", "return_value"] = decided
    assert analysis.store(run) == decided
    (path,) = Spool(tmp_path / "spool").pending()
    spooled = Spool(tmp_path / "spool").read(path)
    assert spooled.collection == GPT4_ANALYSIS_HISTORY
    assert spooled.document["_id"] == RUN_ID
    assert spooled.document["reasoning"] == decided["analysis"]["reasoning"]


def test_a_call_whose_task_was_killed_leaves_the_fallback_rule() -> None:
    run = context(gather_evidence=EVIDENCE)
    run["ti"].values["is_analysis_needed", "reasons"] = ["win_rate is critical"]
    result = analysis.failed_call(run)
    assert result["status"] == "fallback"
    assert "killed" in result["error"]
