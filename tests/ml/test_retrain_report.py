"""The report of a retraining, whatever happened to its branches."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from include.errors import BadInputError
from include.ml.retrain_report import (
    ModelOutcome,
    RetrainRun,
    build_result,
    history_document,
    report_text,
    run_succeeded,
)

RUN = RetrainRun(
    "retrain-abc-123", "BTCUSDT", "1h", "gpt4_recommendation", "Performance degradation + market regime change",
    datetime(2025, 11, 22, 3, 15, tzinfo=UTC),
)  # fmt: skip


def evaluation(accuracy: float, bars: int = 312) -> dict[str, Any]:
    return {
        "bars": bars, "accuracy": accuracy, "baseline_accuracy": 0.70, "skill": accuracy - 0.70,
        "skill_low": accuracy - 0.75, "skill_high": accuracy - 0.65, "edge": accuracy > 0.75,
    }  # fmt: skip


def judged(model_type: str, old: float | None, new: float, deployed: bool, reason: str = "") -> ModelOutcome:
    comparison = (
        {"status": "first_model", "candidate": None, "champion": None, "champion_model_id": None}
        if old is None
        else {
            "status": "compared",
            "candidate": evaluation(new),
            "champion": evaluation(old),
            "champion_model_id": f"old:{model_type}",
        }
    )
    word = "deployed" if deployed else "not deployed"
    return ModelOutcome(
        model_type,
        training={"model_id": f"retrain-abc-123:{model_type}"},
        judgement={
            "candidate_id": f"retrain-abc-123:{model_type}",
            "holdout": evaluation(new + 0.01, bars=288),
            "comparison": comparison,
            "verdict": {"deploy": deployed, "reason": f"{word}: {reason or 'as the rule says'}"},
        },
        deployed=deployed,
    )


LSTM = judged("lstm", 0.63, 0.71, True)
GRU = judged("gru", 0.63, 0.69, True)
WORSE = judged("transformer", 0.68, 0.66, False, "accuracy 0.66 below the champion's 0.68 on the same 312 bars")
BROKEN = ModelOutcome("transformer", error="Corrupt data: ...", error_type="BadInputError")


def test_the_specifications_example_comes_out_as_it_stands_there() -> None:
    result = build_result(RUN, [LSTM, GRU, WORSE])
    assert result["status"] == "success"
    assert result["task_id"] == "retrain-abc-123"
    assert result["results"]["timestamp"] == "2025-11-22T03:15:00Z"
    assert result["results"]["trigger"] == "gpt4_recommendation"
    assert result["results"]["analysis_reasoning"] == "Performance degradation + market regime change"
    assert result["summary"] == {
        "successful_retrains": 3,
        "deployed_models": 2,
        "total_improvement": "+7% avg accuracy",
    }
    keys = ("status", "old_accuracy", "new_accuracy", "improvement", "deployed")
    models = result["results"]["models"]
    assert [models["lstm"][key] for key in keys] == ["success", 0.63, 0.71, 0.08, True]
    assert [models["gru"][key] for key in keys] == ["success", 0.63, 0.69, 0.06, True]
    assert [models["transformer"][key] for key in keys] == ["success", 0.68, 0.66, -0.02, False]
    assert result["models"] == models
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_tc_async_057_a_worse_model_says_why_it_was_not_deployed() -> None:
    entry = build_result(RUN, [judged("lstm", 0.62, 0.58, False, "accuracy 0.58 below 0.60")])["models"]["lstm"]
    assert entry["new_accuracy"] < entry["old_accuracy"]
    assert entry["deployed"] is False
    assert "not deployed" in entry["reason"].lower()
    assert "accuracy 0.58 below 0.60" in entry["reason"]


def test_tc_async_058_every_model_has_every_key_whatever_happened() -> None:
    result = build_result(RUN, [LSTM, judged("gru", None, 0.7, True), BROKEN])
    assert list(result["models"]) == ["lstm", "gru", "transformer"]
    assert len({tuple(entry) for entry in result["models"].values()}) == 1
    assert "old_accuracy" in result["models"]["transformer"]
    assert result["models"]["gru"]["old_accuracy"] is None
    assert result["models"]["gru"]["new_accuracy"] == 0.71  # the hold-out's, there being no comparison
    assert result["models"]["gru"]["bars"] == 288
    assert result["models"]["lstm"]["bars"] == 312
    assert result["models"]["lstm"]["holdout_accuracy"] == pytest.approx(0.72)


@pytest.mark.parametrize(
    ("outcomes", "status", "succeeded", "level"),
    [
        ([LSTM, GRU, WORSE], "success", True, "INFO"),
        ([LSTM, GRU, BROKEN], "partial", False, "WARNING"),
        ([LSTM, ModelOutcome("gru", error="x"), BROKEN], "partial", False, "WARNING"),
        ([WORSE], "success", True, "CRITICAL"),
        ([WORSE, ModelOutcome("gru", error="x")], "partial", False, "CRITICAL"),
        ([BROKEN, ModelOutcome("gru", error="x"), ModelOutcome("lstm", error="x")], "failed", False, "CRITICAL"),
    ],
)
def test_status_verdict_of_the_run_and_alert_level(
    outcomes: list[ModelOutcome], status: str, succeeded: bool, level: str
) -> None:
    for order in itertools.permutations(outcomes):
        result = build_result(RUN, order)
        assert (result["status"], run_succeeded(result), result["alert_level"]) == (status, succeeded, level)


def test_a_failed_branch_says_at_which_stage_and_that_the_champion_stays() -> None:
    trained = {"model_id": "m", "training_results": {"val_accuracy": 0.7, "skill_interval": [0.0, 0.1], "skill": 0.05}}
    result = build_result(
        RUN,
        [
            ModelOutcome("lstm", error="loss is nan", error_type="BadInputError"),
            ModelOutcome("gru", training=trained, error="no candles", error_type="BadInputError"),
            ModelOutcome("transformer"),
        ],
    )
    reasons = {name: entry["reason"] for name, entry in result["models"].items()}
    assert reasons == {
        "lstm": "not deployed: training failed: loss is nan; the champion stays",
        "gru": "not deployed: comparison failed: no candles; the champion stays",
        "transformer": "not deployed: training failed: it did not run; the champion stays",
    }
    assert result["models"]["gru"]["new_accuracy"] == 0.7
    assert result["models"]["gru"]["skill_interval"] == [0.0, 0.1]
    assert result["models"]["gru"]["model_id"] == "m"


def test_a_verdict_to_deploy_that_was_not_carried_out_is_not_called_deployed() -> None:
    outcome = ModelOutcome(LSTM.model_type, LSTM.training, LSTM.judgement, deployed=False)
    entry = build_result(RUN, [outcome])["models"]["lstm"]
    assert entry["deployed"] is False
    assert entry["reason"].startswith("not deployed")
    moved = ModelOutcome(
        LSTM.model_type, LSTM.training, LSTM.judgement, False, "the champion moved", "ChampionMovedError"
    )
    result = build_result(RUN, [moved])
    assert (
        result["models"]["lstm"]["reason"] == "not deployed: deployment failed: the champion moved; the champion stays"
    )
    assert (result["status"], result["alert_level"]) == ("failed", "CRITICAL")


@pytest.mark.parametrize(
    ("outcomes", "words"),
    [
        ([LSTM], "+8% avg accuracy"),
        ([judged("lstm", 0.7, 0.7, True)], "+0% avg accuracy"),
        ([judged("lstm", 0.631, 0.71, True)], "+7.9% avg accuracy"),
        ([judged("lstm", None, 0.7, True)], "not comparable: first models deployed"),
        ([judged("lstm", None, 0.7, True), GRU], "+6% avg accuracy"),
        ([WORSE], "none: no model deployed"),
    ],
)
def test_the_total_improvement_counts_what_was_deployed(outcomes: list[ModelOutcome], words: str) -> None:
    assert build_result(RUN, outcomes)["summary"]["total_improvement"] == words


def test_an_unreadable_champion_raises_the_alert_level() -> None:
    unreadable = judged("gru", None, 0.7, False)
    assert unreadable.judgement is not None
    unreadable.judgement["comparison"]["status"] = "champion_unreadable"  # type: ignore[index]
    assert build_result(RUN, [LSTM, unreadable])["alert_level"] == "WARNING"


def test_the_text_has_old_and_new_accuracy_baseline_skill_and_the_honest_words() -> None:
    text = report_text(
        build_result(RUN, [LSTM, judged("gru", None, 0.7, True), WORSE, ModelOutcome("x", error="boom")])
    )
    assert "2 of 4 models deployed, 3 trained (+8% avg accuracy)" in text
    assert "accuracy old 0.630, new 0.710, improvement +8.0 points, baseline 0.700, skill +0.010" in text
    assert "[-0.040, +0.060], no edge shown, 312 bars" in text
    assert "accuracy old none, new 0.710" in text
    assert "transformer: not deployed: accuracy 0.66 below the champion's 0.68" in text
    assert "x: not deployed: training failed: boom" in text
    assert "edge shown" in report_text(build_result(RUN, [judged("lstm", 0.7, 0.8, True)])).replace("no edge shown", "")


def test_the_history_document_is_the_specifications() -> None:
    result = build_result(RUN, [LSTM, GRU, WORSE])
    document = history_document(RUN, result)
    assert document["_id"] == document["task_id"] == "retrain-abc-123"
    assert document["timestamp"] == RUN.finished_at
    assert document["trigger_type"] == "gpt4_recommendation"
    assert document["trigger_data"] == {"analysis_reasoning": "Performance degradation + market regime change"}
    assert (document["successful_count"], document["deployed_count"]) == (3, 2)
    assert document["models"] == result["models"]
    assert document["full_results"] == result


def test_a_report_on_nothing_is_refused() -> None:
    with pytest.raises(BadInputError, match="no model type"):
        build_result(RUN, [])
