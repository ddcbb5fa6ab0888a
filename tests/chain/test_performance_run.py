"""`daily_performance_analysis` as Airflow runs it, against an engine that answers as the real one does."""

from __future__ import annotations

import pytest

from include.store.collections import PERFORMANCE_METRICS
from tests.chain.channels import delivered_everywhere
from tests.chain.conftest import Bundle

pytestmark = pytest.mark.slow

DAG = "daily_performance_analysis"
CRITICAL_WAY = {"notify_degradation", "trigger_gpt4_self_analysis", "confirm_gpt4_self_analysis"}


@pytest.mark.critical
def test_tc_async_040_good_performance_triggers_nothing(bundle: Bundle) -> None:
    bundle.control.scenario("good")
    run = bundle.run(DAG)
    result = run.xcom("result")
    assert run.state == "success", run.story
    assert result["metrics"]["win_rate"] >= 70.0
    assert result["metrics"]["sharpe_ratio"] >= 2.1
    assert result["analysis"]["overall"] == "GOOD"
    assert result["gpt4_analysis_triggered"] is False
    assert run.ended(*CRITICAL_WAY) == {"skipped"}
    assert not bundle.exists("gpt4_self_analysis", f"gpt4__{run.run_id}")
    stored = bundle.db[PERFORMANCE_METRICS].find_one({"_id": run.run_id})
    assert stored is not None
    assert stored["win_rate"] == result["metrics"]["win_rate"]
    assert stored["trigger_ai_analysis"] is False
    assert [message["severity"] for message in bundle.messages(run.run_id)] == ["info"]


def test_tc_async_041_poor_performance_triggers_the_analysis_and_tells_people(bundle: Bundle) -> None:
    bundle.control.scenario("losing")
    bundle.control.answers('{"recommendation": "wait", "confidence": 0.9, "urgency": "low", "reasoning": "noise"}')
    run = bundle.run(DAG)
    result = run.xcom("result")
    child = f"gpt4__{run.run_id}"
    assert run.state == "success", run.story
    assert result["metrics"]["win_rate"] < 55.0
    assert result["gpt4_analysis_triggered"] is True
    assert result["gpt4_task_id"] == child
    assert run.tasks["notify_summary"] == "skipped"
    stored = bundle.db[PERFORMANCE_METRICS].find_one({"_id": run.run_id})
    assert stored is not None
    assert stored["gpt4_task_id"] == child
    analysis = bundle.finish("gpt4_self_analysis", child)
    assert analysis.state == "success", analysis.story
    assert analysis.xcom("result")["analysis"]["recommendation"] == "wait"
    (message,) = bundle.messages(f":{run.run_id}") or bundle.messages(run.run_id)[:1]
    assert delivered_everywhere(message)
    assert any("52.0%" in str(sent) for sent in bundle.control.messages("slack"))


def test_fewer_than_ten_trades_are_not_judged(bundle: Bundle) -> None:
    bundle.control.scenario("few")
    run = bundle.run(DAG)
    result = run.xcom("result")
    assert run.state == "success", run.story
    assert result["status"] == "skipped"
    assert "Not enough data: 6 trades" in result["reason"]
    assert result["analysis"]["trigger_ai_analysis"] is False
    assert run.ended(*CRITICAL_WAY) == {"skipped"}


@pytest.mark.parametrize(
    ("trouble", "word"),
    [
        ({"status": 200, "body": "<html>maintenance</html>", "content_type": "text/html"}, "html"),
        ({"success_false": "database away"}, "database away"),
        ({"status": 503, "body": ""}, "503"),
    ],
    ids=["html", "success_false", "down"],
)
def test_an_engine_in_trouble_fails_the_run_after_three_retries_and_says_so(
    bundle: Bundle, trouble: dict[str, object], word: str
) -> None:
    bundle.control.script("engine", "/api/paper-trading/trades/closed", **trouble)
    run = bundle.run(DAG)
    assert run.state == "failed", run.story
    assert run.tasks["measure"] == "failed"
    assert run.tries["measure"] == 4
    assert len(bundle.control.requests("engine", "/api/paper-trading/trades/closed")) == 4
    assert bundle.db[PERFORMANCE_METRICS].find_one({"_id": run.run_id}) is None
    (message,) = bundle.messages(run.run_id)
    assert message["severity"] == "error"
    assert word in message["body"].lower()
