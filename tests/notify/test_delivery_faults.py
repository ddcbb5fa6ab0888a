"""The fault table of the channels, on real sinks and a real MongoDB: nothing lost, nothing doubled, nobody waits."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dags.wiring import outbox as wiring
from include.notify import channel_state
from include.notify.deliver import deliver, every_channel_failed, receipts_of
from include.notify.deliver_waiting import deliver_waiting
from include.notify.message import Severity
from include.notify.outbox_state import outbox_state
from include.notify.routing import CHANNELS
from include.settings import Settings
from include.store.collections import OUTBOX, OUTBOX_CHANNELS
from sandbox.control import Control
from sandbox.mongod import free_port
from tests.notify.channel import Db, message
from tests.notify.test_channels import connect

SINKS = {"email": "smtp", "slack": "slack", "discord": "discord", "telegram": "telegram"}
PATHS = {"slack": "/services/*", "discord": "/api/webhooks/*", "telegram": "/bot*"}


def received(control: Control, channel: str) -> list[str]:
    """Return the titles that a sink has accepted, in their order."""
    titles = []
    for kept in control.messages(SINKS[channel]):
        text = json.dumps(kept["payload"], ensure_ascii=False)
        titles.append(next(title for n in range(9, -1, -1) if (title := f"message {n}") in text))
    return titles


def let_time_pass(db: Db) -> None:
    """Let every channel be tried again at once."""
    db[OUTBOX_CHANNELS].update_many({}, {"$set": {"next_try_at": None}})


@dataclass
class Fault:
    """How a channel is broken: by its sink's answers, or by a port where nobody listens."""

    channel: str
    how: dict[str, Any] = field(default_factory=dict)

    def begin(self, control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
        if not self.how:
            connect(monkeypatch, self.channel, f"http://127.0.0.1:{free_port()}")
        elif self.channel == "email":
            control.mail_trouble(**self.how)
        else:
            control.script("sinks", PATHS[self.channel], **self.how)


BUSY = {"ok": False, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": 20}}
FAULTS = [
    *(Fault(channel, {"status": 500, "body": "oops"}) for channel in PATHS),
    *(Fault(channel, {"retry_after": 20, "json": BUSY}) for channel in PATHS),
    *(Fault(channel, {"drop": True}) for channel in PATHS),
    *(Fault(channel) for channel in CHANNELS),
    Fault("email", {"reply": "451 4.3.0 try again later"}),
    Fault("email", {"drop": True}),
]


@pytest.mark.critical
@pytest.mark.parametrize(
    "fault", FAULTS, ids=lambda fault: f"{fault.channel}-{'-'.join(map(str, fault.how)) or 'port'}"
)
def test_broken_channel_loses_and_doubles_nothing(
    db: Db, channels: Settings, control: Control, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    with monkeypatch.context() as during:
        fault.begin(control, during)
        states = [deliver(db, message(number), channels) for number in range(3)]
        waiting = deliver_waiting(db, channels)["waiting"]
    others = [channel for channel in CHANNELS if channel != fault.channel]
    assert all(state == {**dict.fromkeys(others, "delivered"), fault.channel: "pending"} for state in states)
    assert waiting == {fault.channel: 3}
    sent_before = control.messages()
    control.reset("sinks")
    assert Counter(kept["channel"] for kept in sent_before) == {SINKS[channel]: 3 for channel in others}
    let_time_pass(db)
    report = deliver_waiting(db, channels)
    assert report["delivered"] == {fault.channel: 3}
    assert report["waiting"] == {}
    deliver_waiting(db, channels)
    assert received(control, fault.channel) == ["message 0", "message 1", "message 2"]
    assert len(control.messages()) == 3


@pytest.mark.critical
def test_critical_alert_reaches_the_others_at_once_while_a_channel_hangs(
    db: Db, channels: Settings, control: Control
) -> None:
    control.script("sinks", PATHS["discord"], delay_s=5, status=500)
    began = time.time()
    worker = threading.Thread(target=deliver, args=(db, message(1, Severity.CRITICAL), channels), daemon=True)
    worker.start()
    deadline = time.monotonic() + 30
    while len(control.messages()) < 3:
        assert time.monotonic() < deadline
    assert {kept["channel"] for kept in control.messages()} == {"smtp", "slack", "telegram"}
    assert worker.is_alive()  # it waits for Discord, and has sent the others all the same
    assert max(kept["time"] for kept in control.messages()) - began < 30  # what the specification asks for
    worker.join(30)
    assert db[OUTBOX].find_one({})["channels"]["discord"]["state"] == "pending"  # type: ignore[index]


@pytest.mark.critical
def test_alert_that_reached_nobody_is_seen(
    db: Db, channels: Settings, control: Control, caplog: pytest.LogCaptureFixture
) -> None:
    control.script("sinks", "*", status=500)
    control.mail_trouble(reply="451 later")
    assert outbox_state(db, datetime.now(UTC)).silent_channels == []
    states = deliver(db, message(1, Severity.CRITICAL), channels)
    assert every_channel_failed(states)
    assert any(record.levelname == "ERROR" and "reached nobody" in record.message for record in caplog.records)
    state = outbox_state(db, datetime.now(UTC))
    assert state.waiting == dict.fromkeys(sorted(CHANNELS), 1)
    assert state.unheard_critical == ["message 1"]
    assert [silent.channel for silent in state.silent_channels] == sorted(CHANNELS)
    assert all(silent.failures == 1 and silent.error for silent in state.silent_channels)
    since = {silent.channel: silent.since for silent in state.silent_channels}
    deliver(db, message(2, Severity.CRITICAL), channels)
    again = outbox_state(db, datetime.now(UTC))
    assert {silent.channel: silent.since for silent in again.silent_channels} == since
    assert all(silent.failures == 2 for silent in again.silent_channels)
    assert "slack: silent since" in str(next(each for each in again.silent_channels if each.channel == "slack"))
    control.reset("sinks")
    deliver(db, message(3, Severity.CRITICAL), channels)
    after = outbox_state(db, datetime.now(UTC))
    assert (after.waiting, after.silent_channels, after.unheard_critical) == ({}, [], [])


def test_what_was_given_up_is_said_once(db: Db, channels: Settings, control: Control) -> None:
    control.script("sinks", PATHS["discord"], status=400, json={"message": "Invalid Form Body"}, times=1)
    assert deliver(db, message(1), channels)["discord"] == "refused"
    db[OUTBOX].insert_one(
        {
            **message(2).to_dict(),
            "_id": "key-2",
            "state": "pending",
            "queued_at": datetime.now(UTC) - timedelta(days=4),
            "channels": {"removed": {"state": "pending", "error": None, "attempts": 0}},
        }
    )
    state = outbox_state(db, datetime.now(UTC))
    assert (state.refused_24h, state.expired_24h, state.waiting) == (1, 0, {"removed": 1})
    report = deliver_waiting(db, channels)
    assert (report["expired"], report["given_up_said"]) == ({"removed": 1}, 2)
    (said,) = [kept for kept in control.messages("slack") if "given up" in str(kept)]
    assert "message 1 (warning), discord refused" in str(said)
    assert "message 2 (warning), removed expired" in str(said)
    assert deliver_waiting(db, channels)["given_up_said"] == 0
    assert len([kept for kept in control.messages("slack") if "given up" in str(kept)]) == 1
    state = outbox_state(db, datetime.now(UTC))
    assert (state.refused_24h, state.expired_24h, state.waiting) == (1, 1, {})


def test_given_up_message_that_is_given_up_itself_is_not_said_again(
    db: Db, channels: Settings, control: Control
) -> None:
    control.script("sinks", PATHS["discord"], status=400, json={"message": "Invalid Form Body"})
    deliver(db, message(1), channels)
    assert deliver_waiting(db, channels)["given_up_said"] == 1
    assert deliver_waiting(db, channels)["given_up_said"] == 0
    assert db[OUTBOX].count_documents({}) == 2


def test_what_was_given_up_is_noted_as_said_also_with_an_unknown_channel_in_the_settings(
    db: Db, channels: Settings, control: Control
) -> None:
    control.script("sinks", PATHS["discord"], status=400, json={"message": "Invalid Form Body"}, times=1)
    deliver(db, message(1), channels)
    misspelt = channels.model_copy(update={"error_channels": ("slack", "mattermost")})
    assert [deliver_waiting(db, misspelt)["given_up_said"] for _ in range(2)] == [1, 0]
    assert len([kept for kept in control.messages("slack") if "given up" in str(kept)]) == 1


def test_what_was_given_up_long_ago_is_not_read_every_minute(db: Db) -> None:
    now = datetime.now(UTC)
    for number, days in enumerate((1, 40)):
        db[OUTBOX].insert_one(
            {
                **message(number, created_at=now - timedelta(days=days)).to_dict(),
                "_id": f"key-{number}",
                "state": "failed",
                "queued_at": now - timedelta(days=days),
                "channels": {"slack": {"state": "expired", "error": None, "attempts": 1, "given_up_at": now}},
            }
        )
    assert outbox_state(db, now).expired_24h == 1
    for query in ({"unsaid": True}, {"state": "pending", "channels.slack.state": "pending"}):
        plan = db.command("explain", {"find": OUTBOX, "filter": query}, verbosity="queryPlanner")["queryPlanner"]
        assert "IXSCAN" in str(plan["winningPlan"]), query


def test_receipts_are_kept_as_long_as_a_message_may_wait(db: Db, channels: Settings) -> None:
    patient = channels.model_copy(update={"message_expires_after_h": 24.0 * 20})
    receipts = receipts_of(patient)
    receipts.keep("key-1", "slack")
    (path,) = (patient.state_dir / "receipts").iterdir()
    ten_days_ago = time.time() - 10 * 86_400
    os.utime(path, (ten_days_ago, ten_days_ago))
    deliver_waiting(db, patient)
    assert receipts.has("key-1", "slack")
    deliver_waiting(db, channels)
    assert not receipts.has("key-1", "slack")


def test_nothing_is_sent_and_nothing_expires_while_notifications_are_off(
    db: Db, channels: Settings, control: Control
) -> None:
    control.script("sinks", PATHS["slack"], status=500, times=1)
    deliver(db, message(1), channels)
    let_time_pass(db)
    off = channels.model_copy(update={"notifications_enabled": False})
    report = deliver_waiting(db, off)
    assert (report["enabled"], report["waiting"]) == (False, {"slack": 1})
    assert control.messages("slack") == []
    assert deliver_waiting(db, channels)["delivered"] == {"slack": 1}


def test_task_delivers_what_waits_and_is_green_without_mongodb(
    mongod_of_its_own: Any, channels: Settings, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dags.wiring import runtime
    from include.settings import get_settings

    server, _ = mongod_of_its_own
    monkeypatch.setenv(
        "AIRFLOW_CONN_MONGO_DEFAULT",
        json.dumps(
            {
                "conn_type": "mongo",
                "host": "127.0.0.1",
                "port": server.server.port,
                "extra": {"serverSelectionTimeoutMS": 3000},
            }
        ),
    )
    monkeypatch.setenv("TRADING_OPS_STATE_DIR", str(channels.state_dir))
    monkeypatch.setenv("TRADING_OPS_NOTIFICATIONS_ENABLED", "true")
    get_settings.cache_clear()
    try:
        control.script("sinks", PATHS["telegram"], status=500, times=1)
        assert runtime.send(message(1))["telegram"] == "pending"
        let_time_pass(runtime.database())
        report = wiring.deliver_outbox()
        assert json.loads(json.dumps(report)) == report
        assert (report["delivered"], report["waiting"], report["oldest_at"]) == ({"telegram": 1}, {}, None)
        server.process.kill()
        server.process.wait()
        monkeypatch.setattr(channel_state, "MONGO_TIMEOUT_S", 0.3)
        assert "MongoDB" in wiring.deliver_outbox()["outage"]
        with monkeypatch.context() as without:
            without.setenv("AIRFLOW_CONN_MONGO_DEFAULT", "{not even JSON")
            assert "mongo_default" in wiring.deliver_outbox()["outage"]
        assert runtime.send(message(2)) == dict.fromkeys(CHANNELS, "delivered")
    finally:
        get_settings.cache_clear()
    assert [len(control.messages(SINKS[channel])) for channel in CHANNELS] == [2, 2, 2, 2]
