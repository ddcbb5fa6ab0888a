"""Slack: the attachment's form and limits, and the provider's hook against a real HTTP server."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo.database import Database

from include.notify.message import Message, Severity
from include.notify.outbox import Outbox
from include.notify.slack import SlackSender
from include.notify.slack_payload import COLOURS, MAX_FIELDS, escaped, slack_payload
from tests.trading.loopback import LoopbackServer, Reply, loopback

NOW = datetime(2025, 11, 22, 1, 0, tzinfo=UTC)


def message(**changes: Any) -> Message:
    values: dict[str, Any] = {
        "severity": Severity.CRITICAL,
        "title": "Daily performance analysis",
        "body": "Win rate < 55%",
        "fields": {"Win Rate": "52.3%", "Reason": "x" * 50},
        "dedupe_key": "key-1",
        "created_at": NOW,
    }
    return Message(**{**values, **changes})


def test_attachment_has_the_form_that_the_channel_expects() -> None:
    (attachment,) = slack_payload(message())["attachments"]
    assert attachment == {
        "color": "#990000",
        "fallback": "🚨 Daily performance analysis",
        "title": "🚨 Daily performance analysis",
        "text": "Win rate &lt; 55%",
        "fields": [
            {"title": "Win Rate", "value": "52.3%", "short": True},
            {"title": "Reason", "value": "x" * 50, "short": False},
        ],
        "mrkdwn_in": [],
        "footer": "Trading Ops",
        "ts": 1763773200,
    }


@pytest.mark.parametrize(
    ("severity", "colour"),
    [("info", "#36a64f"), ("warning", "#ff9900"), ("error", "#ff0000"), ("critical", "#990000")],
)
def test_each_severity_has_its_colour(severity: str, colour: str) -> None:
    assert slack_payload(message(severity=Severity(severity)))["attachments"][0]["color"] == colour
    assert len(COLOURS) == len(Severity)


def test_time_is_right_on_a_host_that_is_not_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Ho_Chi_Minh")
    time.tzset()
    try:
        assert slack_payload(message())["attachments"][0]["ts"] == 1763773200
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


def test_endless_texts_are_cut_to_what_slack_takes() -> None:
    long = message(
        title="t" * 1000, body="b&" * 5000, fields={f"name {n} " + "n" * 300: "v<" * 3000 for n in range(60)}
    )
    (attachment,) = slack_payload(long)["attachments"]
    assert len(attachment["title"]) <= 150
    assert len(attachment["text"]) <= 3000
    assert len(attachment["fields"]) == MAX_FIELDS
    assert all(len(field["value"]) <= 2000 and len(field["title"]) <= 150 for field in attachment["fields"])
    assert attachment["text"].endswith("…")


@given(st.text(alphabet=st.sampled_from("ab<>&é🔴 "), max_size=80), st.integers(10, 60))
def test_cut_text_fits_and_has_no_broken_escape(text: str, limit: int) -> None:
    cut = escaped(text, limit)
    assert len(cut) <= limit
    bare = cut.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "")
    assert not set(bare) & set("&<>")


@pytest.fixture
def slack_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackServer]:
    with loopback() as server:
        address = f"{server.url}/services/T000/B000/hunter2".replace("/", "%2F").replace(":", "%3A")
        monkeypatch.setenv("AIRFLOW_CONN_SLACK_TEST", f"slackwebhook://:{address}@")
        assert "slack" in os.environ["AIRFLOW_CONN_SLACK_TEST"]
        yield server


def test_hook_posts_the_payload_to_the_connection(slack_server: LoopbackServer) -> None:
    slack_server.script(Reply(200, b"ok", "text/html"))
    SlackSender("slack_test")(message())
    (asked,) = slack_server.asked
    assert (asked.method, asked.path) == ("POST", "/services/T000/B000/hunter2")
    assert asked.json() == slack_payload(message())


def test_failing_slack_leaves_the_message_pending_and_shows_no_secret(
    slack_server: LoopbackServer, db: Database[dict[str, Any]]
) -> None:
    slack_server.script(Reply(500, b"rollup_error", "text/html"), Reply(200, b"ok", "text/html"))
    outbox = Outbox(db)
    outbox.put(message(), ["slack"])
    report = outbox.deliver_due({"slack": SlackSender("slack_test")})
    assert report.failed == {"slack": 1}
    assert "rollup_error" in report.errors[0]
    assert "hunter2" not in str(report.errors)
    assert outbox.states("key-1") == {"slack": "pending"}
    outbox.deliver_due({"slack": SlackSender("slack_test")}, hurry=True)
    assert outbox.states("key-1") == {"slack": "delivered"}
    assert len(slack_server.asked) == 2
