"""The outbox on a real MongoDB: once per key, each channel for itself, in order, never twice to the same channel."""

from __future__ import annotations

import functools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pymongo
import pytest
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from include.errors import BadInputError
from include.notify import channel_round
from include.notify.attempt import attempt
from include.notify.channel_round import STUBBORN_AFTER
from include.notify.channel_state import LONGEST_BACKOFF_S, ChannelStates, backoff_s
from include.notify.errors import ChannelBusyError, RefusedMessageError
from include.notify.message import Message
from include.notify.outbox import EXPIRES_AFTER, POSTPONED, Outbox
from include.notify.receipts import Receipts
from include.store.collections import OUTBOX
from sandbox.mongod import Mongod
from tests.notify.channel import Channel, Clock, Db, channel_state, message, stored
from tests.store.waiting import eventually


def test_message_is_kept_once_and_delivered_once(db: Db) -> None:
    outbox, slack = Outbox(db), Channel()
    assert outbox.put(message(), ["slack"])
    assert not outbox.put(message(), ["slack"])
    for _ in range(3):
        outbox.deliver_due({"slack": slack})
        outbox.put(message(), ["slack"])
    assert slack.got == ["message 1"]
    assert db[OUTBOX].count_documents({}) == 1
    assert stored(db)["state"] == "delivered"
    assert channel_state(db)["delivered_at"] is not None


@pytest.mark.critical
def test_broken_channel_hurts_nobody_and_is_tried_again(db: Db) -> None:
    clock = Clock()
    outbox, slack, mail = Outbox(db, clock), Channel(broken=True), Channel()
    outbox.put(message(), ["slack", "email"])
    report = outbox.deliver_due({"slack": slack, "email": mail})
    assert mail.got == ["message 1"]
    assert (report.delivered, report.failed) == ({"email": 1}, {"slack": 1})
    state = channel_state(db)
    assert (state["state"], state["attempts"]) == ("pending", 1)
    assert "ConnectionError" in state["error"]
    assert "hunter2" not in str(list(db["outbox"].find())) + str(list(db["outbox_channels"].find())) + str(report)
    slack.broken = False
    clock.move(backoff_s(1))
    outbox.deliver_due({"slack": slack, "email": mail})
    assert (slack.got, mail.got) == (["message 1"], ["message 1"])
    assert channel_state(db)["error"] is None
    assert outbox.states("key-1") == {"slack": "delivered", "email": "delivered"}


def test_oldest_message_goes_first(db: Db) -> None:
    outbox, slack = Outbox(db), Channel()
    for number in (3, 1, 2):
        outbox.put(message(number), ["slack"])
    outbox.deliver_due({"slack": slack})
    assert slack.got == ["message 1", "message 2", "message 3"]


@pytest.mark.critical
def test_nothing_overtakes_a_message_that_fails(db: Db) -> None:
    clock, got, broken = Clock(), [], {"message 1"}
    outbox = Outbox(db, clock)

    def moody(sent: Message) -> None:
        if sent.title in broken:
            raise ConnectionError("away")
        got.append(sent.title)

    for number in range(3):
        outbox.put(message(number), ["slack"])
    outbox.deliver_due({"slack": moody})
    clock.move(LONGEST_BACKOFF_S)
    outbox.deliver_due({"slack": moody})
    assert got == ["message 0"]
    broken.clear()
    clock.move(LONGEST_BACKOFF_S)
    outbox.deliver_due({"slack": moody})
    assert got == ["message 0", "message 1", "message 2"]


@pytest.mark.critical
def test_a_message_that_always_fails_stops_nobody_and_is_tried_again_later(db: Db) -> None:
    clock, got, poisoned = Clock(), [], {"message 1"}
    outbox = Outbox(db, clock)

    def moody(sent: Message) -> None:
        if sent.title in poisoned:
            raise TypeError("cannot render it")
        got.append(sent.title)

    for number in range(4):
        outbox.put(message(number), ["slack"])
    for _ in range(STUBBORN_AFTER - 1):
        outbox.deliver_due({"slack": moody})
        clock.move(LONGEST_BACKOFF_S)
    assert got == ["message 0"], "it may still be the channel"
    outbox.deliver_due({"slack": moody})
    assert got == ["message 0", "message 2", "message 3"]
    outbox.put(message(5), ["slack"])
    outbox.deliver_due({"slack": moody})
    assert got[-1] == "message 5", "nobody waits for it any more"
    poisoned.clear()
    clock.move(POSTPONED.total_seconds())
    outbox.deliver_due({"slack": moody})
    assert got[-1] == "message 1"
    assert outbox.states("key-1") == {"slack": "delivered"}


@pytest.mark.critical
def test_after_a_long_outage_of_the_channel_everything_arrives_in_order(db: Db) -> None:
    clock, slack = Clock(), Channel(broken=True)
    outbox = Outbox(db, clock)
    for number in range(4):
        outbox.put(message(number), ["slack"])
    for _ in range(3 * STUBBORN_AFTER):
        outbox.deliver_due({"slack": slack})
        clock.move(LONGEST_BACKOFF_S)
    assert set(slack.tried) == {"message 0", "message 1"}, "one more is tried, not all of them"
    slack.broken = False
    outbox.deliver_due({"slack": slack})
    assert slack.got == ["message 0", "message 1", "message 2", "message 3"]


def test_who_waits_for_the_message_that_fails_does_not_wait_for_the_others(db: Db) -> None:
    clock, got = Clock(), []
    outbox = Outbox(db, clock)

    def moody(sent: Message) -> None:
        if sent.title == "message 0":
            raise ConnectionError("not this one")
        got.append(sent.title)

    for number in range(3):
        outbox.put(message(number), ["slack"])
    for _ in range(STUBBORN_AFTER):
        outbox.deliver_due({"slack": moody}, until="key-0", hurry=True)
    assert got == ["message 1"]


def test_a_message_and_its_channels_never_contradict_each_other(db: Db, mongod: Mongod) -> None:
    """Not even between two commands: the process may end there."""
    contradictions = []

    class Watch(CommandListener):
        def started(self, event: CommandStartedEvent) -> None: ...

        def failed(self, event: CommandFailedEvent) -> None: ...

        def succeeded(self, event: CommandSucceededEvent) -> None:
            for document in db[OUTBOX].find():
                waits = "pending" in [state["state"] for state in document["channels"].values()]
                if waits is not (document["state"] == "pending"):
                    contradictions.append(document)

    with pymongo.MongoClient[dict[str, Any]](mongod.uri, tz_aware=True, event_listeners=[Watch()]) as client:
        clock = Clock()
        outbox = Outbox(client[db.name], clock)
        outbox.put(message(1), ["slack", "email"])
        outbox.put(message(2), ["slack"])
        outbox.deliver_due({"slack": Channel(), "email": Channel(broken=True)})
        clock.move(EXPIRES_AFTER.total_seconds())
        assert outbox.deliver_due({}).expired == {"email": 1}
    assert contradictions == []
    assert {document["_id"]: document["state"] for document in db[OUTBOX].find()} == {
        "key-1": "failed",
        "key-2": "delivered",
    }


def test_a_remark_that_reads_like_an_expression_is_a_text(db: Db) -> None:
    outbox = Outbox(db)
    outbox.put(message(), ["slack"])
    outbox.deliver_due({"slack": lambda _: "$title"})
    assert channel_state(db)["remark"] == "$title"


@pytest.mark.critical
def test_refused_message_is_given_up_and_lets_the_others_pass(db: Db) -> None:
    outbox, got = Outbox(db), []

    def picky(sent: Message) -> None:
        if sent.title == "message 1":
            raise RefusedMessageError("invalid_payload")
        got.append(sent.title)

    for number in range(3):
        outbox.put(message(number), ["slack"])
    report = outbox.deliver_due({"slack": picky})
    assert got == ["message 0", "message 2"]
    assert (report.refused, report.failed) == ({"slack": 1}, {})
    assert (channel_state(db)["state"], stored(db)["state"]) == ("refused", "failed")


def test_a_failing_channel_is_left_alone_for_longer_and_longer(db: Db) -> None:
    clock = Clock()
    outbox, slack = Outbox(db, clock), Channel(broken=True)
    outbox.put(message(), ["slack"])
    for tries, wait_s in enumerate((10, 20, 40, 80, 160, 300, 300), start=1):
        outbox.deliver_due({"slack": slack})
        assert len(slack.tried) == tries
        clock.move(wait_s - 1)
        outbox.deliver_due({"slack": slack})
        assert len(slack.tried) == tries
        clock.move(1)
    slack.broken = False
    outbox.deliver_due({"slack": slack})
    slack.broken = True
    outbox.put(message(2), ["slack"])
    outbox.deliver_due({"slack": slack})
    clock.move(10)
    outbox.deliver_due({"slack": slack})
    assert slack.tried[-2:] == ["message 2", "message 2"]


def test_who_is_in_a_hurry_tries_a_channel_that_is_left_alone_but_not_one_that_asked_for_it(db: Db) -> None:
    clock = Clock()
    outbox, slack = Outbox(db, clock), Channel(broken=True)
    outbox.put(message(), ["slack"])
    outbox.deliver_due({"slack": slack})
    outbox.deliver_due({"slack": slack}, hurry=True)
    assert len(slack.tried) == 2

    def busy(_: Message) -> None:
        slack.tried.append("busy")
        raise ChannelBusyError("429", retry_after_s=50)

    outbox.deliver_due({"slack": busy}, hurry=True)
    slack.broken = False
    clock.move(49)
    outbox.deliver_due({"slack": slack}, hurry=True)
    assert slack.got == []
    clock.move(1)
    outbox.deliver_due({"slack": slack})
    assert slack.got == ["message 1"]


def test_a_short_wait_that_the_service_asks_for_is_waited_for(db: Db) -> None:
    outbox, tried = Outbox(db), []

    def busy_once(sent: Message) -> None:
        tried.append(sent.title)
        if len(tried) == 1:
            raise ChannelBusyError("429", retry_after_s=0.05)

    outbox.put(message(), ["slack"])
    outbox.deliver_due({"slack": busy_once}, until="key-1")
    assert outbox.states("key-1") == {"slack": "delivered"}
    assert len(tried) == 2


@pytest.mark.critical
def test_message_expires_once_and_that_is_counted(db: Db) -> None:
    clock = Clock()
    outbox, slack, mail = Outbox(db, clock, expires_after=timedelta(hours=72)), Channel(broken=True), Channel()
    outbox.put(message(), ["slack", "email", "removed"])
    outbox.deliver_due({"slack": slack, "email": mail})
    clock.move(72 * 3600 - 1)
    assert outbox.deliver_due({"slack": slack}).expired == {}
    clock.move(1)
    assert outbox.deliver_due({"slack": slack}).expired == {"slack": 1, "removed": 1}
    assert outbox.deliver_due({"slack": slack}).expired == {}
    assert outbox.states("key-1") == {"slack": "expired", "email": "delivered", "removed": "expired"}
    assert "ConnectionError" in channel_state(db)["error"]
    assert "never tried" in channel_state(db, channel="removed")["error"]
    assert stored(db)["state"] == "failed"


def test_message_about_a_day_long_past_does_not_expire_at_once(db: Db) -> None:
    clock = Clock()
    outbox, slack = Outbox(db, clock), Channel()
    outbox.put(message(created_at=clock.now - timedelta(days=30)), ["slack"])
    outbox.deliver_due({"slack": slack})
    assert slack.got == ["message 1"]


def test_channel_without_a_sender_waits_for_one(db: Db) -> None:
    outbox, slack, mail = Outbox(db), Channel(), Channel()
    outbox.put(message(), ["slack", "email"])
    outbox.deliver_due({"slack": slack})
    assert outbox.states("key-1") == {"slack": "delivered", "email": "pending"}
    outbox.deliver_due({"slack": slack, "email": mail})
    assert (slack.got, mail.got) == (["message 1"], ["message 1"])


def test_channel_added_later_gets_the_message_and_the_others_do_not_get_it_again(db: Db) -> None:
    outbox, slack, mail = Outbox(db), Channel(), Channel()
    outbox.put(message(), ["slack"])
    outbox.deliver_due({"slack": slack})
    outbox.put(message(), ["slack", "email"])
    outbox.deliver_due({"slack": slack, "email": mail})
    assert (slack.got, mail.got) == (["message 1"], ["message 1"])


@pytest.mark.critical
def test_many_workers_deliver_each_message_once_and_in_order(db: Db) -> None:
    slack, start = Channel(), threading.Barrier(6)
    for number in range(20):
        Outbox(db).put(message(number), ["slack"])

    def work(_: int) -> None:
        start.wait()
        Outbox(db).deliver_due({"slack": slack}, until="key-19")

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert slack.got == [f"message {number}" for number in range(20)]


def test_worker_that_finds_the_channel_taken_waits_until_its_message_is_settled(db: Db) -> None:
    outbox, slack, entered, leave = Outbox(db), Channel(), threading.Event(), threading.Event()

    def slow(sent: Message) -> None:
        entered.set()
        assert leave.wait(10)
        slack(sent)

    outbox.put(message(1), ["slack"])
    first = threading.Thread(target=outbox.deliver_due, args=({"slack": slow},), kwargs={"until": "key-1"})
    first.start()
    assert entered.wait(10)
    outbox.put(message(2), ["slack"])
    assert outbox.deliver_due({"slack": slack}).delivered == {}  # nobody waits for anything in particular
    threading.Timer(0.3, leave.set).start()
    outbox.deliver_due({"slack": slack}, until="key-2")
    first.join(10)
    assert slack.got == ["message 1", "message 2"]


def test_many_workers_keep_a_message_once(db: Db) -> None:
    start = threading.Barrier(8)

    def work(_: int) -> bool:
        start.wait()
        return Outbox(db).put(message(), ["slack"])

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) == 1
    assert db[OUTBOX].count_documents({}) == 1


def test_channel_whose_worker_died_is_taken_over_later_but_not_at_once(db: Db) -> None:
    clock = Clock()
    outbox, slack = Outbox(db, clock), Channel()
    outbox.put(message(), ["slack"])
    assert ChannelStates(db, clock).claim("slack")  # and never released
    clock.move(29)
    outbox.deliver_due({"slack": slack})
    assert slack.got == []
    clock.move(2)
    outbox.deliver_due({"slack": slack})
    assert slack.got == ["message 1"]


def test_times_noted_by_a_clock_that_was_wrong_stop_no_channel(db: Db) -> None:
    ahead, slack = Clock(), Channel(broken=True)
    ahead.move(2 * 86_400)
    wrong, right = Outbox(db, ahead), Outbox(db, Clock())
    right.put(message(), ["slack"])
    wrong.deliver_due({"slack": slack})
    assert ChannelStates(db, ahead).claim("slack")  # and never released
    slack.broken = False
    right.deliver_due({"slack": slack})
    assert slack.got == ["message 1"]


def test_worker_that_lost_its_channel_stops_sending(db: Db) -> None:
    clock = Clock()
    outbox, got = Outbox(db, clock), []

    def stalled(sent: Message) -> None:
        got.append(sent.title)
        clock.move(31)
        assert ChannelStates(db, clock).claim("slack")  # another worker takes over meanwhile

    for number in range(3):
        outbox.put(message(number), ["slack"])
    outbox.deliver_due({"slack": stalled})
    assert got == ["message 0"]
    assert outbox.states("key-0") == {"slack": "delivered"}


@pytest.mark.critical
def test_hanging_channel_does_not_delay_the_others(db: Db) -> None:
    outbox, mail, hangs = Outbox(db), Channel(), threading.Event()
    mail_got_it = threading.Event()

    def hang(_: Message) -> None:
        hangs.wait(5)

    def send_mail(sent: Message) -> None:
        mail(sent)
        mail_got_it.set()

    outbox.put(message(), ["discord", "email", "slack"])
    worker = threading.Thread(target=outbox.deliver_due, args=({"discord": hang, "slack": hang, "email": send_mail},))
    worker.start()
    assert mail_got_it.wait(4)
    assert worker.is_alive()
    hangs.set()
    worker.join(10)


def test_what_was_accepted_but_not_recorded_is_not_sent_again(db: Db, tmp_path: Path) -> None:
    receipts = Receipts(tmp_path / "receipts")
    receipts.keep("key-1", "slack")
    outbox, slack, mail = Outbox(db, receipts=receipts), Channel(), Channel()
    outbox.put(message(), ["slack", "email"])
    outbox.deliver_due({"slack": slack, "email": mail})
    assert outbox.states("key-1") == {"slack": "delivered", "email": "delivered"}
    assert (slack.got, mail.got) == ([], ["message 1"])


@pytest.mark.critical
def test_what_is_accepted_after_nobody_waited_any_more_is_not_sent_again(
    db: Db, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_round, "attempt", functools.partial(attempt, deadline_s=0.1))
    receipts, go_on, slack = Receipts(tmp_path / "receipts"), threading.Event(), Channel()
    outbox = Outbox(db, receipts=receipts)

    def slow(sent: Message) -> None:
        assert go_on.wait(20)
        slack(sent)

    outbox.put(message(), ["slack"])
    assert outbox.deliver_due({"slack": slow}).failed == {"slack": 1}
    go_on.set()
    eventually(lambda: receipts.has("key-1", "slack"))
    outbox.deliver_due({"slack": slow}, hurry=True)
    assert outbox.states("key-1") == {"slack": "delivered"}
    assert slack.got == ["message 1"]


def test_old_receipts_are_pruned_and_an_unusable_folder_costs_no_delivery(db: Db, tmp_path: Path) -> None:
    receipts = Receipts(tmp_path / "receipts")
    receipts.keep("key-1", "slack")
    assert (receipts.prune(), receipts.has("key-1", "slack")) == (0, True)
    time.sleep(0.01)
    assert (receipts.prune(older_than_s=0), receipts.has("key-1", "slack")) == (1, False)
    (tmp_path / "file").touch()
    outbox, slack = Outbox(db, receipts=Receipts(tmp_path / "file" / "receipts")), Channel()
    outbox.put(message(), ["slack"])
    outbox.deliver_due({"slack": slack})
    assert slack.got == ["message 1"]


def test_stored_message_that_cannot_be_read_is_given_up(db: Db) -> None:
    outbox, slack = Outbox(db), Channel()
    outbox.put(message(1), ["slack"])
    outbox.put(message(2), ["slack"])
    db[OUTBOX].update_one({"_id": "key-1"}, {"$set": {"severity": "shouting"}})
    outbox.deliver_due({"slack": slack})
    assert slack.got == ["message 2"]
    assert channel_state(db)["state"] == "refused"


def test_remark_of_a_sender_is_kept_beside_the_delivery(db: Db) -> None:
    outbox = Outbox(db)
    outbox.put(message(), ["email"])
    outbox.deliver_due({"email": lambda _: "not delivered to b@example.com: 550 unknown"})
    state = channel_state(db, channel="email")
    assert (state["state"], state["remark"]) == ("delivered", "not delivered to b@example.com: 550 unknown")


def test_message_without_channels_is_a_record_only(db: Db) -> None:
    outbox, slack = Outbox(db), Channel()
    outbox.put(message(), [])
    outbox.deliver_due({"slack": slack})
    assert slack.got == []
    assert stored(db)["state"] == "stored"


@pytest.mark.parametrize("channel", ["", "Slack", "a.b", "$x", "a b"])
def test_impossible_channel_name_is_refused(db: Db, channel: str) -> None:
    with pytest.raises(BadInputError, match="channel name"):
        Outbox(db).put(message(), [channel])
