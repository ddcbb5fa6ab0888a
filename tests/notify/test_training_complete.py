"""What people read when a training is complete."""

from __future__ import annotations

from typing import Any

import pytest

from include.notify.deliver import deliver
from include.notify.message import Severity
from include.notify.training_complete import training_message
from include.settings import Settings
from sandbox.control import Control
from tests.notify.channel import Db

RESULT: dict[str, Any] = {
    "model_type": "lstm", "symbol": "BTCUSDT", "timeframe": "1h", "task_id": "manual__1", "model_id": "manual__1:lstm",
    "timestamp": "2026-03-01T08:00:00Z", "device": "cpu", "warnings": ["GPU not available, using CPU"],
    "started_from_reason": "from the weights of champion x:lstm",
    "training_results": {
        "val_accuracy": 0.703, "baseline_accuracy": 0.711, "skill": -0.008, "skill_interval": [-0.05, 0.031],
        "edge": False, "bars": 142, "best_epoch": 87, "epochs_completed": 100, "training_time_seconds": 61.4,
    },
    "deployed": True,
    "verdict": {"deploy": True, "reason": "deployed: first model of its kind, BTCUSDT"},
}  # fmt: skip


def test_tc_async_022_accuracy_stands_beside_baseline_and_skill_and_says_that_no_edge_is_shown() -> None:
    message = training_message(RESULT)
    assert message.severity is Severity.INFO
    assert message.title == "Training of LSTM BTCUSDT 1h complete: accuracy 70.3%, deployed"
    assert "Accuracy 70.3% on 142 unseen bars, baseline 71.1%" in message.body
    assert "Skill -0.8 points (95 % interval -5.0 to +3.1): no edge shown" in message.body
    assert "from the weights of champion x:lstm" in message.body
    assert "Deployed: first model of its kind, BTCUSDT" in message.body
    assert "Warning: GPU not available, using CPU" in message.body
    assert message.fields["Edge"] == "no edge shown"
    assert message.fields["Took"] == "61 s on the CPU"
    assert message.dedupe_key == "training:manual__1"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"deployed": False, "verdict": None}, "Not deployed: the run asked for a candidate only"),
        (
            {"deployed": False, "verdict": {"reason": "not deployed: accuracy 0.58 below 0.60"}},
            "Not deployed: accuracy 0.58 below 0.60",
        ),
    ],
)
def test_tc_async_022_a_model_that_was_not_deployed_says_why(changes: dict[str, Any], words: str) -> None:
    message = training_message({**RESULT, **changes})
    assert message.title.endswith(", not deployed")
    assert words in message.body


def test_tc_async_022_an_edge_is_said() -> None:
    numbers = {**RESULT["training_results"], "edge": True, "skill": 0.05, "skill_interval": [0.01, 0.09]}
    message = training_message({**RESULT, "training_results": numbers})
    assert "Skill +5.0 points (95 % interval +1.0 to +9.0): an edge is shown" in message.body


def test_tc_async_022_the_completed_training_arrives_as_a_mail(db: Db, channels: Settings, control: Control) -> None:
    states = deliver(db, training_message(RESULT), channels)
    assert states["email"] == "delivered"
    (received,) = control.messages("smtp")
    mail = received["payload"]
    assert mail["rcpt_to"] == ["admin@example.invalid"]
    assert mail["subject"] == "[INFO] Training of LSTM BTCUSDT 1h complete: accuracy 70.3%, deployed"
    for form in (mail["text"], mail["html"]):
        assert "Accuracy 70.3% on 142 unseen bars, baseline 71.1%" in form
        assert "no edge shown" in form
        assert "manual__1:lstm" in form
    deliver(db, training_message(RESULT), channels)
    assert len(control.messages("smtp")) == 1
