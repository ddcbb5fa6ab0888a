"""The outbox on a real MongoDB: once per key, each channel for itself, never twice to the same channel."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pymongo
import pytest
from pymongo.database import Database

from include.errors import BadInputError, ServiceUnavailableError
from include.notify.deliver import deliver
from include.notify.message import Message, Severity
from include.notify.outbox import MAX_ATTEMPTS, Outbox
from include.settings import Settings
from include.store.collections import OUTBOX
from include.store.spool import Spool
from sandbox.mongod import free_port

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


def message(number: int = 1) -> Message:
    return Message(
        Severity.WARNING,
        f"message {number}",
        "body",
        f"key-{number}",
        {"Trades": "47"},
        NOW + timedelta(minutes=number),
    )


def channel_state(db: Db, number: int = 1, channel: str = "slack") -> dict[str, Any]:
    stored = db[OUTBOX].find_one({"dedupe_key": f"key-{number}"})
    assert stored is not None
    state: dict[str, Any] = stored["channels"][channel]
    return state


def test_message_is_kept_once_and_delivered_once(db: Db) -> None:
    outbox, slack = Outbox(db), Channel()
    assert outbox.put(message(), ["slack"])
    assert not outbox.put(message(), ["slack"])
    for _ in range(3):
        outbox.deliver_now({"slack": slack})
        outbox.put(message(), ["slack"])
    assert slack.got == ["message 1"]
    assert db[OUTBOX].count_documents({}) == 1
    stored = db[OUTBOX].find_one()
    assert stored is not None
    assert stored["state"] == "delivered"
    assert channel_state(db)["delivered_at"] is not None


@pytest.mark.critical
def test_broken_channel_hurts_nobody_and_is_tried_again(db: Db) -> None:
    outbox, slack, mail = Outbox(db), Channel(broken=True), Channel()
    outbox.put(message(), ["slack", "mail"])
    report = outbox.deliver_now({"slack": slack, "mail": mail})
    assert mail.got == ["message 1"]
    assert (report.delivered, report.failed) == ({"mail": 1}, {"slack": 1})
    state = channel_state(db)
    assert (state["state"], state["attempts"]) == ("pending", 1)
    assert "ConnectionError" in state["error"]
    assert "hunter2" not in str(state) + str(report)
    slack.broken = False
    outbox.deliver_now({"slack": slack, "mail": mail})
    assert (slack.got, mail.got) == (["message 1"], ["message 1"])
    assert channel_state(db)["error"] is None
    assert outbox.states("key-1") == {"slack": "delivered", "mail": "delivered"}


def test_each_message_is_tried_once_per_round(db: Db) -> None:
    outbox, slack = Outbox(db), Channel(broken=True)
    outbox.put(message(), ["slack"])
    outbox.deliver_now({"slack": slack})
    assert slack.tried == ["message 1"]


def test_oldest_message_goes_first(db: Db) -> None:
    outbox, slack = Outbox(db), Channel()
    for number in (3, 1, 2):
        outbox.put(message(number), ["slack"])
    outbox.deliver_now({"slack": slack})
    assert slack.got == ["message 1", "message 2", "message 3"]


def test_channel_that_is_down_is_left_alone_after_three_failures(db: Db) -> None:
    outbox, slack = Outbox(db), Channel(broken=True)
    for number in range(10):
        outbox.put(message(number), ["slack"])
    outbox.deliver_now({"slack": slack})
    assert len(slack.tried) == 3


def test_message_that_is_always_refused_does_not_hold_up_the_others(db: Db) -> None:
    outbox = Outbox(db)
    got = []

    def picky(sent: Message) -> None:
        if sent.title in ("message 0", "message 1", "message 2"):
            raise ValueError("invalid_payload")
        got.append(sent.title)

    for number in range(6):
        outbox.put(message(number), ["slack"])
    outbox.deliver_now({"slack": picky})
    assert got == []
    outbox.deliver_now({"slack": picky})
    assert got == ["message 3", "message 4", "message 5"]


def test_message_is_given_up_after_many_attempts(db: Db) -> None:
    outbox, slack = Outbox(db), Channel(broken=True)
    outbox.put(message(), ["slack"])
    for _ in range(MAX_ATTEMPTS + 3):
        outbox.deliver_now({"slack": slack})
    assert len(slack.tried) == MAX_ATTEMPTS
    assert channel_state(db)["state"] == "gave_up"
    stored = db[OUTBOX].find_one()
    assert stored is not None
    assert stored["state"] == "failed"


def test_channel_without_a_sender_waits_for_one(db: Db) -> None:
    outbox, slack, mail = Outbox(db), Channel(), Channel()
    outbox.put(message(), ["slack", "mail"])
    outbox.deliver_now({"slack": slack})
    assert outbox.states("key-1") == {"slack": "delivered", "mail": "pending"}
    outbox.deliver_now({"slack": slack, "mail": mail})
    assert (slack.got, mail.got) == (["message 1"], ["message 1"])


def test_channel_added_later_gets_the_message_and_the_others_do_not_get_it_again(db: Db) -> None:
    outbox, slack, mail = Outbox(db), Channel(), Channel()
    outbox.put(message(), ["slack"])
    outbox.deliver_now({"slack": slack})
    outbox.put(message(), ["slack", "mail"])
    outbox.deliver_now({"slack": slack, "mail": mail})
    assert (slack.got, mail.got) == (["message 1"], ["message 1"])


def test_many_workers_deliver_each_message_once(db: Db) -> None:
    slack, start = Channel(), threading.Barrier(8)
    for number in range(25):
        Outbox(db).put(message(number), ["slack"])

    def work(_: int) -> None:
        start.wait()
        Outbox(db).deliver_now({"slack": slack})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert sorted(slack.got) == sorted(f"message {number}" for number in range(25))


def test_many_workers_keep_a_message_once(db: Db) -> None:
    start = threading.Barrier(8)

    def work(_: int) -> bool:
        start.wait()
        return Outbox(db).put(message(), ["slack"])

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) == 1
    assert db[OUTBOX].count_documents({}) == 1


def test_delivery_whose_worker_died_is_taken_over_later_but_not_at_once(db: Db) -> None:
    now = [NOW]
    outbox, slack = Outbox(db, lambda: now[0]), Channel()
    outbox.put(message(), ["slack"])

    def die(_: Message) -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        outbox.deliver_now({"slack": die})
    now[0] += timedelta(minutes=4)
    outbox.deliver_now({"slack": slack})
    assert slack.got == []
    now[0] += timedelta(minutes=2)
    outbox.deliver_now({"slack": slack})
    assert slack.got == ["message 1"]


def test_message_without_channels_is_a_record_only(db: Db) -> None:
    outbox, slack = Outbox(db), Channel()
    outbox.put(message(), [])
    outbox.deliver_now({"slack": slack})
    assert slack.got == []
    stored = db[OUTBOX].find_one()
    assert stored is not None
    assert stored["state"] == "stored"


@pytest.mark.parametrize("channel", ["", "Slack", "a.b", "$x", "a b"])
def test_impossible_channel_name_is_refused(db: Db, channel: str) -> None:
    with pytest.raises(BadInputError, match="channel name"):
        Outbox(db).put(message(), [channel])


def test_deliver_keeps_sends_and_reports_per_channel(db: Db, tmp_path: Path) -> None:
    settings = Settings(notification_channels=("slack", "mail"), notifications_enabled=True, state_dir=tmp_path)
    slack = Channel()
    assert deliver(db, message(), settings, {"slack": slack}) == {"slack": "delivered", "mail": "pending"}
    assert deliver(db, message(), settings, {"slack": slack}) == {"slack": "delivered", "mail": "pending"}
    assert slack.got == ["message 1"]


def test_switched_off_notifications_are_kept_but_not_sent(db: Db, tmp_path: Path) -> None:
    settings = Settings(notifications_enabled=False, state_dir=tmp_path)
    slack = Channel()
    assert deliver(db, message(), settings, {"slack": slack}) == {}
    assert slack.tried == []
    assert db[OUTBOX].count_documents({"state": "stored"}) == 1


def test_without_mongodb_the_message_goes_out_and_waits_in_the_spool(tmp_path: Path) -> None:
    settings = Settings(notification_channels=("slack", "mail"), notifications_enabled=True, state_dir=tmp_path)
    slack, mail = Channel(), Channel(broken=True)
    with pymongo.MongoClient[dict[str, Any]](
        f"mongodb://127.0.0.1:{free_port()}", serverSelectionTimeoutMS=100
    ) as client:
        with pytest.raises(ServiceUnavailableError):
            Outbox(client["away"]).put(message(), ["slack"])
        states = deliver(client["away"], message(), settings, {"slack": slack, "mail": mail})
    assert states == {"slack": "delivered", "mail": "pending"}
    assert slack.got == ["message 1"]
    spool = Spool(settings.spool_dir)
    (path,) = spool.pending()
    waiting = spool.read(path)
    assert waiting.collection == OUTBOX
    assert waiting.document["_id"] == waiting.document["dedupe_key"] == "key-1"
    assert waiting.document["channels"]["slack"]["state"] == "delivered"
    assert waiting.document["state"] == "pending"


def test_spooled_message_is_delivered_to_the_rest_once_it_is_stored(db: Db, tmp_path: Path) -> None:
    settings = Settings(notification_channels=("slack", "mail"), notifications_enabled=True, state_dir=tmp_path)
    slack, mail = Channel(), Channel(broken=True)
    with pymongo.MongoClient[dict[str, Any]](
        f"mongodb://127.0.0.1:{free_port()}", serverSelectionTimeoutMS=100
    ) as client:
        deliver(client["away"], message(), settings, {"slack": slack, "mail": mail})
    spool = Spool(settings.spool_dir)
    db[OUTBOX].insert_one(spool.read(spool.pending()[0]).document)
    mail.broken = False
    Outbox(db).deliver_now({"slack": slack, "mail": mail})
    assert (slack.got, mail.got) == (["message 1"], ["message 1"])
