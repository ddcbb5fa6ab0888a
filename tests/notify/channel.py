"""What the outbox's tests share: a message, a channel that can be broken, a clock that stands still."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.database import Database

from include.notify.message import Message, Severity
from include.store.collections import OUTBOX

Db = Database[dict[str, Any]]
NOW = datetime(2025, 11, 22, 1, 0, tzinfo=UTC)


class Channel:
    """A channel that keeps what it gets, and fails as long as it is broken."""

    def __init__(self, broken: bool = False) -> None:
        self.got: list[str] = []
        self.tried: list[str] = []
        self.broken = broken

    def __call__(self, message: Message) -> None:
        self.tried.append(message.title)
        if self.broken:
            raise ConnectionError("https://hooks.slack.com/services/T0/B0/hunter2 is away")
        self.got.append(message.title)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def message(number: int = 1, severity: Severity = Severity.WARNING, **changes: Any) -> Message:
    values: dict[str, Any] = {
        "severity": severity,
        "title": f"message {number}",
        "body": "body",
        "dedupe_key": f"key-{number}",
        "fields": {"Trades": "47"},
        "created_at": NOW + timedelta(milliseconds=number),
    }
    return Message(**{**values, **changes})


def stored(db: Db, number: int = 1) -> dict[str, Any]:
    document = db[OUTBOX].find_one({"dedupe_key": f"key-{number}"})
    assert document is not None
    return document


def channel_state(db: Db, number: int = 1, channel: str = "slack") -> dict[str, Any]:
    state: dict[str, Any] = stored(db, number)["channels"][channel]
    return state
