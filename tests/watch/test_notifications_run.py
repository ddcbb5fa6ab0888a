"""A run whose channel is down is green, the others get its message, and the channel gets it once when it is back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from include.notify.outbox_state import outbox_state
from include.store.collections import OUTBOX, OUTBOX_CHANNELS
from tests.chain.conftest import Bundle, RunView

DAG = "emergency_strategy_disable"
"""It is one task, and has something to say."""
SINKS = {"email": "smtp", "slack": "slack", "discord": "discord", "telegram": "telegram"}


def received(bundle: Bundle, run_id: str) -> dict[str, int]:
    """Return how often each channel has accepted the message of a run."""
    return {
        channel: sum(is_of(kept["payload"], run_id) for kept in bundle.control.messages(sink))
        for channel, sink in SINKS.items()
    }


def is_of(payload: dict[str, Any], run_id: str) -> bool:
    """Tell whether a payload names the run; for Discord the double underscore of its id is escaped."""
    return run_id in json.dumps(payload).replace("\\", "")


def said(run: RunView) -> dict[str, Any]:
    """Return what the run's XCom says about its message."""
    (entry,) = run.xcom("disable", "notification")
    return dict(entry)


@pytest.mark.critical
def test_channels_that_are_down_cost_no_run_and_no_message(bundle: Bundle) -> None:
    bundle.db[OUTBOX].delete_many({})
    bundle.db[OUTBOX_CHANNELS].delete_many({})
    bundle.control.engine_state(spec_endpoints=True)

    bundle.control.script("sinks", "/api/webhooks/*", status=500)
    one_down = bundle.run(DAG, {"strategy_name": "volume", "reason": "one channel is down"})
    assert one_down.state == "success", one_down.story
    assert said(one_down)["channels"] == {**dict.fromkeys(SINKS, "delivered"), "discord": "pending"}
    assert said(one_down)["every_channel_failed"] is False
    assert received(bundle, one_down.run_id) == {"email": 1, "slack": 1, "discord": 0, "telegram": 1}

    bundle.control.script("sinks", "*", status=500)
    bundle.control.mail_trouble(reply="451 4.3.0 try again later")
    all_down = bundle.run(DAG, {"strategy_name": "bollinger", "reason": "all channels are down"})
    assert all_down.state == "success", all_down.story
    assert said(all_down)["channels"] == dict.fromkeys(SINKS, "pending")
    assert said(all_down)["every_channel_failed"] is True
    log = bundle.client.logs(DAG, all_down.run_id, "disable", all_down.tries["disable"])
    assert "sandbox" not in log.replace("smtp_default", ""), "an address of a webhook, or the bot's token"
    silent = outbox_state(bundle.db, datetime.now(UTC)).silent_channels
    assert {each.channel for each in silent} == set(SINKS)

    assert received(bundle, all_down.run_id) == dict.fromkeys(SINKS, 0)
    bundle.control.reset("sinks")
    bundle.db[OUTBOX_CHANNELS].update_many({}, {"$set": {"next_try_at": None}})  # as if they had been left alone enough
    replayed = bundle.run("replay_pending")
    assert replayed.state == "success", replayed.story
    assert replayed.xcom("deliver_outbox")["delivered"]["discord"] >= 2
    assert received(bundle, one_down.run_id) == {"email": 0, "slack": 0, "discord": 1, "telegram": 0}
    assert received(bundle, all_down.run_id) == dict.fromkeys(SINKS, 1)
    runs = (one_down.run_id, all_down.run_id)
    order = [run for kept in bundle.control.messages("discord") for run in runs if is_of(kept["payload"], run)]
    assert order == list(runs)
    for run in (one_down, all_down):
        (message,) = bundle.messages(run.run_id)
        assert {state["state"] for state in message["channels"].values()} == {"delivered"}
    assert outbox_state(bundle.db, datetime.now(UTC)).silent_channels == []
