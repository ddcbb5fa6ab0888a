"""The message itself: clean as soon as it is made, and the same after storing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pymongo.database import Database

from include.errors import BadInputError
from include.notify.message import Message, Severity

NOW = datetime(2025, 11, 22, 1, 0, tzinfo=UTC)


def test_secrets_are_gone_on_construction() -> None:
    message = Message(
        severity=Severity.ERROR,
        title="engine at http://ops:hunter2@engine",
        body="OPENAI_API_KEY=sk-proj-AbCdEf0123456789",
        fields={"Webhook URL": "http://example/plain", "Error": "token=hunter2", "Trades": "47"},
        dedupe_key="k",
    )
    everything = str(message) + str(message.to_dict())
    assert "hunter2" not in everything
    assert "sk-proj" not in everything
    assert message.fields == {"Webhook URL": "***", "Error": "token=***", "Trades": "47"}


@pytest.mark.parametrize(
    "changes", [{"title": " "}, {"dedupe_key": ""}, {"created_at": NOW.replace(tzinfo=None)}, {"severity": "fatal"}]
)
def test_message_that_cannot_be_sent_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadInputError):
        Message(**{"severity": Severity.INFO, "title": "t", "body": "b", "dedupe_key": "k", **changes})


def test_time_is_kept_in_utc_and_the_title_in_one_line() -> None:
    hanoi = timezone(timedelta(hours=7))
    message = Message(Severity.INFO, "two\nlines", "b", "k", created_at=NOW.astimezone(hanoi))
    assert message.created_at.utcoffset() == timedelta(0)
    assert message.created_at == NOW
    assert message.title == "two lines"


def test_endless_body_is_cut_once_and_survives_storing(db: Database[dict[str, Any]]) -> None:
    message = Message(Severity.WARNING, "t", "x" * 50_000, "k", {"a.b": "1", "$c": "2"}, NOW)
    assert len(message.body) <= 10_000
    db["outbox"].insert_one(message.to_dict())
    stored = db["outbox"].find_one()
    assert stored is not None
    assert Message.from_dict(stored) == message


def test_a_field_is_bounded_like_the_body() -> None:
    message = Message(Severity.ERROR, "title", "body", "key", {"Error": "x" * 50_000})
    assert len(message.fields["Error"]) <= 3_000
    assert "more characters" in message.fields["Error"]
    assert Message.from_dict(message.to_dict()).fields == message.fields
