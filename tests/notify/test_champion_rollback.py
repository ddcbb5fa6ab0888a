"""The message about a champion that a person took back; the automatic one's is tested where it is made."""

from __future__ import annotations

from include.notify.champion_rollback import manual_rollback_message
from include.notify.message import Severity

RESULT = {
    "task_id": "run-1", "model_type": "lstm", "symbol": "BTCUSDT", "timeframe": "1h",
    "champion_id": "lstm:BTCUSDT:1h", "model_id": "old", "previous_model_id": "new", "version": 3,
    "skipped": ["Model middle cannot be read: corrupt"], "reason": "trading errors", "rolled_back_by": "admin",
}  # fmt: skip


def test_a_rollback_by_hand_warns_with_from_to_reason_and_name() -> None:
    message = manual_rollback_message(RESULT)
    assert message.severity == Severity.WARNING
    assert message.title == "LSTM BTCUSDT 1h: the champion was rolled back by admin"
    assert (message.fields["From"], message.fields["To"]) == ("new", "old")
    assert "Reason: trading errors" in message.body
    assert "Not taken: Model middle cannot be read" in message.body
    assert message.dedupe_key == "rollback:lstm:BTCUSDT:1h:v3"
