"""Every message that the bundle builds arrives on all four channels, with what matters in it."""

from __future__ import annotations

import html
import json
from datetime import UTC, datetime

import pytest

from include.analyst.analysis_documents import fallback_result
from include.analyst.decision import fallback
from include.analyst.history import with_retrain
from include.ml.champion_health import Rollback
from include.notify.champion_rollback import manual_rollback_message, rollback_message
from include.notify.deliver import deliver
from include.notify.failure import failure_message
from include.notify.gpt4_analysis import analysis_message
from include.notify.message import Message
from include.notify.reports.performance import performance_message
from include.notify.retrain_complete import retrain_message
from include.notify.routing import CHANNELS
from include.notify.training_complete import training_message
from include.settings import Settings
from sandbox.control import Control
from tests.notify.channel import Db
from tests.notify.test_builders import POOR_EVIDENCE, retrained, success
from tests.notify.test_champion_rollback import RESULT as ROLLED_BACK
from tests.notify.test_training_complete import RESULT as TRAINED

SINKS = {"smtp", "slack", "discord", "telegram"}
ROLLBACK = Rollback(
    champion_id="lstm:BTCUSDT:1h", done=True, from_model_id="new", to_model_id="old", failures=3,
    since=datetime(2025, 11, 22, tzinfo=UTC), reason="<bad & broken>", version=4, skipped=(), why_not=None,
)  # fmt: skip
MESSAGES: list[tuple[Message, tuple[str, ...]]] = [
    (training_message(TRAINED), ("Training of LSTM BTCUSDT 1h complete", "baseline 71.1%", "no edge shown")),
    (retrain_message(retrained(lstm={}, gru={"deployed": False})), ("1 of 2 deployed", "63.0% → 71.0%")),
    (performance_message(POOR_EVIDENCE.performance, "run-1"), ("Win rate 47.9% below 55% threshold!", "47.9%")),
    (analysis_message(with_retrain(success(True), ["child-1"])), ("retrain lstm", "LSTM accuracy dropped to 60%")),
    (
        analysis_message(fallback_result("run-2", fallback(POOR_EVIDENCE, "no key"), POOR_EVIDENCE, ())),
        ("no judge was asked", "no key"),
    ),
    (rollback_message(ROLLBACK, "run-1"), ("the champion was rolled back", "<bad & broken>", "old forecasts again")),
    (manual_rollback_message(ROLLED_BACK), ("rolled back by admin", "trading errors")),
    (
        failure_message("train_model", "run-1", "train", 2, ValueError("<urllib3> & password=hunter2")),
        ("train_model: task train[2] failed", "<urllib3> & password=***"),
    ),
]


@pytest.mark.parametrize(("message", "words"), MESSAGES, ids=lambda value: getattr(value, "dedupe_key", ""))
def test_message_arrives_on_every_channel(
    db: Db, channels: Settings, control: Control, message: Message, words: tuple[str, ...]
) -> None:
    assert deliver(db, message, channels) == dict.fromkeys(CHANNELS, "delivered")
    received = control.messages()
    assert {kept["channel"] for kept in received} == SINKS
    assert len(received) == len(SINKS)
    for kept in received:
        text = html.unescape(json.dumps(kept["payload"], ensure_ascii=False))
        for word in words:
            plain = text.replace("\\\\", "")  # Discord's markup is escaped by backslashes
            assert word in plain or word.replace("*", "\\*") in plain, (kept["channel"], word)
        assert "hunter2" not in text
