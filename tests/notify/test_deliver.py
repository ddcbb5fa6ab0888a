"""Keeping and sending in one call, also while MongoDB is away or goes away in the middle."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pymongo
import pytest

from include.errors import ConfigurationError, ServiceUnavailableError, TransientError
from include.notify.deliver import deliver, every_channel_failed, outbox_of, receipts_of
from include.notify.errors import RefusedMessageError
from include.notify.message import Message, Severity
from include.notify.outbox import Outbox
from include.settings import Settings
from include.store.collections import OUTBOX
from include.store.replay import replay
from include.store.spool import Spool
from sandbox.mongod import free_port
from tests.conftest import REPOSITORY
from tests.notify.channel import Channel, Clock, Db, message
from tests.store.outages import impatient


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(notification_channels=("slack", "email"), notifications_enabled=True, state_dir=tmp_path)


@pytest.fixture
def away() -> Iterator[Db]:
    address = f"mongodb://127.0.0.1:{free_port()}"
    with pymongo.MongoClient[dict[str, Any]](address, serverSelectionTimeoutMS=100) as client:
        yield client["away"]


def test_deliver_keeps_sends_and_reports_per_channel(db: Db, settings: Settings) -> None:
    slack = Channel()
    assert deliver(db, message(), settings, {"slack": slack}) == {"slack": "delivered", "email": "pending"}
    assert deliver(db, message(), settings, {"slack": slack}) == {"slack": "delivered", "email": "pending"}
    assert slack.got == ["message 1"]


def test_switched_off_notifications_are_kept_but_not_sent(db: Db, tmp_path: Path) -> None:
    slack = Channel()
    settings = Settings(notifications_enabled=False, state_dir=tmp_path)
    assert deliver(db, message(), settings, {"slack": slack}) == {}
    assert slack.tried == []
    assert db[OUTBOX].count_documents({"state": "stored"}) == 1


def test_severity_chooses_the_channels(db: Db, tmp_path: Path) -> None:
    settings = Settings(
        notification_channels=("slack",),
        critical_channels=("email", "slack"),
        info_channels=(),
        notifications_enabled=True,
        state_dir=tmp_path,
    )
    slack, mail = Channel(), Channel()
    for number, severity in enumerate(Severity):
        deliver(db, message(number, severity), settings, {"slack": slack, "email": mail})
    assert slack.got == ["message 1", "message 2", "message 3"]
    assert mail.got == ["message 3"]


def test_unknown_channel_is_refused_after_the_known_ones_got_the_message(db: Db, tmp_path: Path) -> None:
    settings = Settings(notification_channels=("slak", "email"), notifications_enabled=True, state_dir=tmp_path)
    mail = Channel()
    with pytest.raises(ConfigurationError, match=r"'slak'.*known: email, slack, discord, telegram"):
        deliver(db, message(), settings, {"email": mail})
    assert mail.got == ["message 1"]


@pytest.mark.critical
@pytest.mark.parametrize(
    ("states", "failed"),
    [
        ({}, False),
        ({"slack": "delivered"}, False),
        ({"slack": "pending", "email": "delivered"}, False),
        ({"slack": "pending"}, True),
        ({"slack": "refused", "email": "expired"}, True),
    ],
)
def test_every_channel_failed_means_that_nobody_got_it(states: dict[str, str], failed: bool) -> None:
    assert every_channel_failed(states) is failed


def test_critical_message_tries_a_channel_that_is_left_alone(db: Db, settings: Settings) -> None:
    slack, mail = Channel(broken=True), Channel()
    deliver(db, message(1), settings, {"slack": slack, "email": mail})
    slack.broken = False
    deliver(db, message(2), settings, {"slack": slack, "email": mail})
    assert slack.got == []
    states = deliver(db, message(3, Severity.CRITICAL), settings, {"slack": slack, "email": mail})
    assert states == {"slack": "delivered", "email": "delivered"}
    assert slack.got == mail.got == ["message 1", "message 2", "message 3"]


@pytest.mark.critical
def test_without_mongodb_the_message_goes_out_and_waits_in_the_spool(away: Db, settings: Settings) -> None:
    slack, mail = Channel(), Channel(broken=True)
    with impatient(), pytest.raises(ServiceUnavailableError):
        Outbox(away).put(message(), ["slack"])
    with impatient():
        states = deliver(away, message(), settings, {"slack": slack, "email": mail})
    assert states == {"slack": "delivered", "email": "pending"}
    assert slack.got == ["message 1"]
    spool = Spool(settings.spool_dir)
    (path,) = spool.pending()
    waiting = spool.read(path)
    assert waiting.collection == OUTBOX
    assert waiting.document["_id"] == waiting.document["dedupe_key"] == "key-1"
    assert waiting.document["channels"]["slack"]["state"] == "delivered"
    assert waiting.document["state"] == "pending"


def test_without_any_database_the_message_goes_out_too(settings: Settings) -> None:
    slack = Channel()
    assert deliver(None, message(), settings, {"slack": slack}) == {"slack": "delivered", "email": "pending"}
    assert len(Spool(settings.spool_dir).pending()) == 1


def test_spooled_message_is_delivered_to_the_rest_once_it_is_stored(db: Db, away: Db, settings: Settings) -> None:
    slack, mail = Channel(), Channel(broken=True)
    with impatient():
        deliver(away, message(), settings, {"slack": slack, "email": mail})
        deliver(away, message(), settings, {"slack": slack, "email": mail})  # the task's next try
    assert slack.tried == ["message 1"]
    mail.broken = False
    replay(Spool(settings.spool_dir), db)
    outbox_of(db, settings).deliver_due({"slack": slack, "email": mail})
    assert (slack.got, mail.got) == (["message 1"], ["message 1"])
    assert Spool(settings.spool_dir).pending() == []


def test_another_host_does_not_send_again_what_the_spooled_document_says_is_delivered(
    db: Db, away: Db, settings: Settings, tmp_path: Path
) -> None:
    slack = Channel()
    with impatient():
        deliver(away, message(), settings, {"slack": slack})
    replay(Spool(settings.spool_dir), db)
    elsewhere = settings.model_copy(update={"state_dir": tmp_path / "elsewhere"})
    outbox_of(db, elsewhere).deliver_due({"slack": slack})
    assert slack.got == ["message 1"]


@pytest.mark.critical
def test_message_that_was_in_mongodb_before_is_not_sent_again_from_the_spool(
    db: Db, away: Db, settings: Settings
) -> None:
    slack, mail = Channel(), Channel(broken=True)
    deliver(db, message(), settings, {"slack": slack, "email": mail})
    with impatient():
        states = deliver(away, message(), settings, {"slack": slack, "email": mail})
    assert states == {"slack": "delivered", "email": "pending"}
    assert slack.tried == ["message 1"]
    mail.broken = False
    replay(Spool(settings.spool_dir), db)
    critical = message(2, Severity.CRITICAL)  # in a hurry, else the broken channel would be left alone for a while
    deliver(db, critical, settings, {"slack": slack, "email": mail})
    assert slack.got == mail.got == ["message 1", "message 2"]


@pytest.mark.critical
def test_mongodb_going_away_while_a_message_is_sent_costs_and_doubles_nothing(
    mongod_of_its_own: Any, settings: Settings
) -> None:
    server, client = mongod_of_its_own
    db = client["middle"]
    slack, mail, gone = Channel(), Channel(), threading.Event()

    def send_mail(sent: Message) -> None:
        mail(sent)
        server.process.kill()
        server.process.wait()
        gone.set()

    def send_slack(sent: Message) -> None:
        assert gone.wait(20)
        slack(sent)

    with impatient(timeout_s=2):  # it is there when the message is kept
        states = deliver(db, message(), settings, {"slack": send_slack, "email": send_mail})
    assert states == {"slack": "delivered", "email": "delivered"}
    assert (slack.got, mail.got) == (["message 1"], ["message 1"])
    server.restart()
    replay(Spool(settings.spool_dir), db)
    outbox_of(db, settings).deliver_due({"slack": slack, "email": mail})
    assert outbox_of(db, settings).states("key-1") == {"slack": "delivered", "email": "delivered"}
    assert (slack.got, mail.got) == (["message 1"], ["message 1"])


@pytest.mark.critical
def test_mongodb_that_hangs_does_not_keep_an_alert_from_its_channels(
    mongod_of_its_own: Any, settings: Settings
) -> None:
    server, client = mongod_of_its_own
    assert client["hangs"][OUTBOX].count_documents({}) == 0
    slack, heard = Channel(), threading.Event()
    states: dict[str, str] = {}

    def send_slack(sent: Message) -> None:
        slack(sent)
        heard.set()

    def work() -> None:
        alert = message(1, Severity.CRITICAL)
        states.update(deliver(client["hangs"], alert, settings, {"slack": send_slack}))

    worker = threading.Thread(target=work)
    server.process.send_signal(signal.SIGSTOP)
    try:
        with impatient():
            worker.start()
            assert heard.wait(9)
            worker.join(30)
    finally:
        server.process.send_signal(signal.SIGCONT)
    assert states == {"slack": "delivered", "email": "pending"}
    assert slack.got == ["message 1"]


@pytest.mark.critical
def test_a_message_survives_the_end_of_the_process_that_sends_it_without_mongodb(db: Db, settings: Settings) -> None:
    """A task's process is ended when its failure callback takes too long."""
    script = """
import os, sys
from include.notify.deliver import deliver
from include.notify.message import Message, Severity
from include.settings import Settings
settings = Settings(notification_channels=("slack",), notifications_enabled=True, state_dir=sys.argv[1])
deliver(None, Message(Severity.ERROR, "message 1", "body", "key-1"), settings, {"slack": lambda _: os._exit(42)})
"""
    done = subprocess.run([sys.executable, "-c", script, str(settings.state_dir)], cwd=REPOSITORY, check=False)
    assert done.returncode == 42
    assert replay(Spool(settings.spool_dir), db).replayed == 1
    slack, clock = Channel(), Clock()
    clock.now = datetime.now(UTC)
    outbox = Outbox(db, clock, receipts=receipts_of(settings))
    outbox.deliver_due({"slack": slack})
    assert slack.got == [], "its sender may still be at it"
    clock.move(31)
    outbox.deliver_due({"slack": slack})
    assert slack.got == ["message 1"]


@pytest.mark.critical
def test_mongodb_coming_back_while_a_message_is_sent_without_it_doubles_nothing(db: Db, settings: Settings) -> None:
    slack = Channel()
    late = Channel()

    def send(sent: Message) -> None:
        replay(Spool(settings.spool_dir), db)  # the minute's replay, in the middle of it
        Outbox(db).deliver_due({"slack": late})
        slack(sent)

    assert deliver(None, message(), settings, {"slack": send})["slack"] == "delivered"
    replay(Spool(settings.spool_dir), db)
    outbox_of(db, settings).deliver_due({"slack": late})
    assert (slack.got, late.got) == (["message 1"], [])
    assert outbox_of(db, settings).states("key-1") == {"slack": "delivered", "email": "pending"}


def test_unwritable_spool_is_an_error_only_while_something_would_be_lost(away: Db, settings: Settings) -> None:
    settings.state_dir.joinpath("spool").touch()  # a file where the folder should be
    both = {"slack": Channel(), "email": Channel()}
    with impatient():
        assert deliver(away, message(1), settings, both) == {"slack": "delivered", "email": "delivered"}
    with impatient(), pytest.raises(TransientError, match="spool"):
        deliver(away, message(2), settings, {"slack": Channel(), "email": Channel(broken=True)})


def test_refusal_without_mongodb_is_kept_as_such(away: Db, db: Db, settings: Settings) -> None:
    def refuse(_: Message) -> None:
        raise RefusedMessageError("too large")

    with impatient():
        states = deliver(away, message(), settings, {"slack": refuse, "email": Channel()})
    assert states == {"slack": "refused", "email": "delivered"}
    replay(Spool(settings.spool_dir), db)
    slack = Channel()
    outbox_of(db, settings).deliver_due({"slack": slack})
    assert slack.tried == []
    document = db[OUTBOX].find_one({})
    assert document is not None
    assert (document["state"], document["unsaid"]) == ("failed", True)
