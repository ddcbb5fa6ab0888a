"""The four senders against real HTTP and SMTP servers: what arrives, what a refusal means, no secret in any error."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink

from include.errors import ConfigurationError
from include.notify.attempt import Outcome, Sender, attempt
from include.notify.errors import LONGEST_WAIT_S, ChannelBusyError, RefusedMessageError
from include.notify.http_answers import retry_after
from include.notify.mail import message_id
from include.notify.message import Image, Message, Severity
from include.notify.routing import CHANNELS
from include.notify.senders import channel_senders
from include.settings import Settings
from sandbox.control import Control
from sandbox.launcher import Sandbox
from sandbox.mongod import free_port

PNG = b"\x89PNG\r\n\x1a\n" + bytes(200)
PATHS = {"slack": "/services/*", "discord": "/api/webhooks/*", "telegram": "/bot*"}
WEBHOOKS = tuple(PATHS)
SECRET = "hunter2hunter2hunter2"
CONNECTIONS: dict[str, Callable[[str], dict[str, Any]]] = {
    "slack": lambda url: {"conn_type": "slackwebhook", "password": f"{url}/services/T000/B000/{SECRET}"},
    "discord": lambda url: {
        "conn_type": "discord",
        "host": f"{url}/api/",
        "extra": {"webhook_endpoint": f"webhooks/1/{SECRET}"},
    },
    "telegram": lambda url: {
        "conn_type": "telegram",
        "host": "1",
        "password": f"123456789:{SECRET}",
        "extra": {"base_url": f"{url}/bot"},
    },
    "email": lambda url: {
        "conn_type": "smtp",
        "host": "127.0.0.1",
        "port": int(url.rpartition(":")[2]),
        "login": "ops",
        "password": SECRET,
        "extra": {"disable_ssl": True, "disable_tls": True, "from_email": "ops@example.com", "timeout": 60},
    },
}


def message(**changes: Any) -> Message:
    values: dict[str, Any] = {
        "severity": Severity.CRITICAL,
        "title": "Engine down: <urllib3> & co",
        "body": "No answer from <engine>",
        "dedupe_key": "health:1",
        "fields": {"Win Rate": "52.3% < 55%"},
        "created_at": datetime(2025, 11, 22, 1, 0, tzinfo=UTC),
    }
    return Message(**{**values, **changes})


def sender(settings: Settings, channel: str) -> Sender:
    return channel_senders(settings, [channel])[channel]


def connect(monkeypatch: pytest.MonkeyPatch, channel: str, url: str) -> None:
    name = "SMTP" if channel == "email" else channel.upper()
    monkeypatch.setenv(f"AIRFLOW_CONN_{name}_DEFAULT", json.dumps(CONNECTIONS[channel](url)))


def test_slack_gets_an_attachment(channels: Settings, control: Control) -> None:
    sender(channels, "slack")(message())
    (received,) = control.messages("slack")
    (attachment,) = received["payload"]["attachments"]
    assert attachment["color"] == "#990000"
    assert attachment["title"] == "🚨 Engine down: &lt;urllib3&gt; &amp; co"
    assert attachment["fields"] == [{"title": "Win Rate", "value": "52.3% &lt; 55%", "short": True}]


def test_discord_gets_an_embed(channels: Settings, control: Control) -> None:
    sender(channels, "discord")(message())
    (received,) = control.messages("discord")
    (embed,) = received["payload"]["embeds"]
    assert embed == {
        "title": "🚨 Engine down: <urllib3> & co",
        "description": "No answer from <engine>",
        "color": 10038562,
        "fields": [{"name": "Win Rate", "value": "52.3% < 55%", "inline": True}],
        "footer": {"text": "Trading Ops"},
        "timestamp": "2025-11-22T01:00:00+00:00",
    }
    (request,) = control.requests("sinks", "/api/webhooks/1/sandbox")
    assert "webhook_endpoint" not in request["headers"]


def test_telegram_gets_escaped_html(channels: Settings, control: Control) -> None:
    sender(channels, "telegram")(message())
    (received,) = control.messages("telegram")
    assert received["payload"]["chat_id"] == "1"
    assert received["payload"]["parse_mode"] == "HTML"
    assert received["payload"]["text"] == (
        "🚨 <b>Engine down: &lt;urllib3&gt; &amp; co</b>\n\nNo answer from &lt;engine&gt;\n\n"
        "• <b>Win Rate</b>: 52.3% &lt; 55%"
    )


def test_mail_has_text_html_and_images(channels: Settings, control: Control) -> None:
    report = message(
        html='<html><body><h1>Report</h1><img src="cid:equity.png" alt="Equity of 30 days"></body></html>',
        images=(Image("equity.png", PNG, "Equity of 30 days"),),
    )
    sender(channels, "email")(report)
    (received,) = control.messages("smtp")
    mail = received["payload"]
    assert mail["subject"] == "[CRITICAL] Engine down: <urllib3> & co"
    assert (mail["mail_from"], mail["rcpt_to"]) == ("trading-ops@example.invalid", ["admin@example.invalid"])
    assert mail["headers"]["Message-ID"] == message_id("health:1", "trading-ops@example.invalid")
    assert mail["headers"]["Date"] == "Sat, 22 Nov 2025 01:00:00 +0000"
    assert "multipart/alternative" in mail["headers"]["Content-Type"]
    assert mail["text"] == (
        "No answer from <engine>\n\nWin Rate: 52.3% < 55%\n\n[Image: Equity of 30 days]\n\n"
        "Level: CRITICAL\nTime: 2025-11-22 01:00:00 UTC\n"
    )
    assert '<img src="cid:equity.png"' in mail["html"]
    assert mail["attachments"] == [{"name": "equity.png", "type": "image/png", "size": len(PNG)}]


def test_mail_without_html_of_its_own_gets_a_page(channels: Settings, control: Control) -> None:
    sender(channels, "email")(message(images=(Image("equity.png", PNG, 'a "chart"'),)))
    page = control.messages("smtp")[0]["payload"]["html"]
    assert "Engine down: &lt;urllib3&gt; &amp; co" in page
    assert "No answer from &lt;engine&gt;" in page
    assert ">52.3% &lt; 55%<" in page
    assert '<img src="cid:equity.png" alt="a &quot;chart&quot;"' in page
    assert "#990000" in page


@pytest.mark.parametrize("email_to", [(), ("",), (" ", "")])
def test_mail_to_nobody_is_a_configuration_error(
    channels: Settings, control: Control, email_to: tuple[str, ...]
) -> None:
    settings = channels.model_copy(update={"email_to": email_to})
    with pytest.raises(ConfigurationError, match="TRADING_OPS_EMAIL_TO"):
        sender(settings, "email")(message())
    assert control.messages() == []


def test_mail_goes_to_each_recipient_once_and_never_to_an_empty_one(channels: Settings, control: Control) -> None:
    settings = channels.model_copy(update={"email_to": ("a@example.com", "", "b@example.com", "a@example.com")})
    sender(settings, "email")(message())
    assert control.messages("smtp")[0]["payload"]["rcpt_to"] == ["a@example.com", "b@example.com"]


def test_mail_without_a_sender_address_is_a_configuration_error(
    channels: Settings, monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox
) -> None:
    connection = CONNECTIONS["email"](sandbox.urls["smtp"])
    monkeypatch.setenv(
        "AIRFLOW_CONN_SMTP_DEFAULT", json.dumps({**connection, "extra": {"disable_ssl": True, "disable_tls": True}})
    )
    with pytest.raises(ConfigurationError, match="from_email"):
        sender(channels, "email")(message())


@pytest.mark.parametrize("channel", WEBHOOKS)
def test_failing_service_means_later(channels: Settings, control: Control, channel: str) -> None:
    for status in (500, 502):
        control.script("sinks", PATHS[channel], status=status, body="<html>oops</html>", times=1)
        assert attempt(sender(channels, channel), message()).state == "pending"
    assert len(control.requests("sinks")) == 2  # no retries of the hooks' own
    assert control.messages() == []


@pytest.mark.parametrize("channel", WEBHOOKS)
def test_busy_service_says_how_long_to_wait(channels: Settings, control: Control, channel: str) -> None:
    answer = {"ok": False, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": 7}}
    control.script("sinks", PATHS[channel], retry_after=7, json=answer)
    outcome = attempt(sender(channels, channel), message())
    assert (outcome.state, outcome.retry_after_s) == ("pending", 7.0)
    with pytest.raises(ChannelBusyError, match="wait 7 s"):
        sender(channels, channel)(message())


@pytest.mark.parametrize("channel", WEBHOOKS)
def test_refused_message_is_refused_for_good(channels: Settings, control: Control, channel: str) -> None:
    control.script("sinks", PATHS[channel], status=400, json={"ok": False, "description": "Bad Request: no"})
    with pytest.raises(RefusedMessageError):
        sender(channels, channel)(message())


@pytest.mark.parametrize(
    ("channel", "status", "body"),
    [
        ("slack", 404, "no_service"),
        ("slack", 400, "no_team"),
        ("slack", 403, "invalid_token"),
        ("discord", 404, '{"message": "Unknown Webhook", "code": 10015}'),
        ("discord", 401, '{"message": "Invalid Webhook Token", "code": 50027}'),
        ("telegram", 400, '{"ok": false, "error_code": 400, "description": "Bad Request: chat not found"}'),
        ("telegram", 403, '{"ok": false, "error_code": 403, "description": "Forbidden: bot was blocked"}'),
        ("telegram", 401, '{"ok": false, "error_code": 401, "description": "Unauthorized"}'),
    ],
)
def test_wrong_connection_costs_no_message(
    channels: Settings, control: Control, channel: str, status: int, body: str
) -> None:
    control.script("sinks", PATHS[channel], status=status, body=body, content_type="application/json")
    with pytest.raises(ConfigurationError, match=f"connection {channel}_default"):
        sender(channels, channel)(message())
    assert attempt(sender(channels, channel), message()).state == "pending"


@pytest.mark.parametrize("channel", WEBHOOKS)
@pytest.mark.parametrize("trouble", [{"drop": True}, {"truncate": True, "status": 200, "body": "x" * 100}])
def test_broken_answer_means_later(channels: Settings, control: Control, channel: str, trouble: dict[str, Any]) -> None:
    control.script("sinks", PATHS[channel], **trouble)
    assert attempt(sender(channels, channel), message()).state == "pending"


def test_page_that_is_not_slack_is_no_delivery(channels: Settings, control: Control) -> None:
    control.script("sinks", PATHS["slack"], status=200, body="<html>Log in to the WiFi</html>")
    assert attempt(sender(channels, "slack"), message()).state == "pending"


@pytest.mark.parametrize(
    ("reply", "state"),
    [
        ("451 4.3.0 try again later", "pending"),
        ("421 4.3.2 closing", "pending"),
        ("552 5.3.4 message too large", "refused"),
        ("554 5.7.1 rejected as spam", "refused"),
    ],
)
def test_mail_servers_refusal_is_temporary_or_for_good(
    channels: Settings, control: Control, reply: str, state: str
) -> None:
    control.mail_trouble(reply=reply)
    outcome = attempt(sender(channels, "email"), message())
    assert outcome.state == state
    assert reply[:3] in str(outcome.error)


def test_a_mail_that_is_too_large_is_refused_already_at_its_senders_name(
    channels: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that has said its limit refuses MAIL FROM; tried again, the mail would stop all others for days."""
    port = free_port()
    server = Controller(Sink(), hostname="127.0.0.1", port=port, data_size_limit=2_000)
    server.start()
    try:
        connection = {**CONNECTIONS["email"](f"smtp://127.0.0.1:{port}"), "login": "", "password": ""}
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(connection))
        outcome = attempt(sender(channels, "email"), message(body="word " * 1_000))
        assert (outcome.state, "552" in str(outcome.error)) == ("refused", True)
        assert attempt(sender(channels, "email"), message()).state == "delivered"
    finally:
        server.stop()


def test_mail_server_that_drops_the_connection_means_later(channels: Settings, control: Control) -> None:
    control.mail_trouble(drop=True)
    assert attempt(sender(channels, "email"), message()).state == "pending"


@pytest.mark.critical
@pytest.mark.parametrize("channel", CHANNELS)
def test_closed_port_means_later_and_the_error_holds_no_secret(
    channels: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, channel: str
) -> None:
    connect(monkeypatch, channel, f"http://127.0.0.1:{free_port()}")
    with caplog.at_level(logging.INFO):
        outcome = attempt(sender(channels, channel), message())
    assert outcome.state == "pending"
    assert SECRET not in str(outcome) + caplog.text


@pytest.mark.critical
@pytest.mark.parametrize("channel", WEBHOOKS)
def test_no_error_and_no_log_line_holds_the_webhook(
    channels: Settings,
    control: Control,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    sandbox: Sandbox,
    channel: str,
) -> None:
    connect(monkeypatch, channel, sandbox.urls["sinks"])
    with caplog.at_level(logging.INFO):
        for trouble in ({"status": 500}, {"status": 404}, {"status": 400}, {"drop": True}, {"retry_after": 1}):
            control.script("sinks", PATHS[channel], times=1, **trouble)
            outcome = attempt(sender(channels, channel), message())
            assert outcome.state != "delivered"
            assert SECRET not in str(outcome)
        assert attempt(sender(channels, channel), message()).state == "delivered"
    assert SECRET not in caplog.text


@pytest.fixture
def dripping(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server that begins an answer, sends a byte every 50 ms and never comes to an end."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(request.param)
                while not ended.wait(0.05):
                    connection.sendall(b"x")

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        ended.set()


@pytest.mark.parametrize(
    ("channel", "dripping"),
    [("email", b"220 "), *((channel, b"HTTP/1.1 200 OK\r\nX: ") for channel in WEBHOOKS)],
    indirect=["dripping"],
)
def test_server_that_never_comes_to_an_end_is_left_behind(
    channels: Settings, monkeypatch: pytest.MonkeyPatch, dripping: str, channel: str
) -> None:
    connect(monkeypatch, channel, dripping)
    outcome = attempt(sender(channels, channel), message(), deadline_s=0.5)
    assert outcome.state == "pending"
    assert "left behind" in str(outcome.error)


@pytest.mark.parametrize("channel", CHANNELS)
def test_missing_connection_is_the_channels_own_failure(
    channels: Settings, monkeypatch: pytest.MonkeyPatch, channel: str
) -> None:
    name = "SMTP" if channel == "email" else channel.upper()
    monkeypatch.delenv(f"AIRFLOW_CONN_{name}_DEFAULT")
    outcome = attempt(sender(channels, channel), message())
    assert outcome.state == "pending"
    assert f"{name.lower()}_default" in str(outcome.error)


def test_recipient_who_is_refused_is_said_beside_the_delivery(
    channels: Settings, control: Control, picky_server: tuple[str, list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, taken = picky_server
    connect(monkeypatch, "email", url)
    settings = channels.model_copy(update={"email_to": ("good@example.com", "gone@example.com")})
    outcome = attempt(sender(settings, "email"), message())
    assert outcome.state == "delivered"
    assert outcome.remark is not None
    assert "gone@example.com: 550" in outcome.remark
    assert taken == [["good@example.com"]]
    nobody = channels.model_copy(update={"email_to": ("gone@example.com",)})
    outcome = attempt(sender(nobody, "email"), message())
    assert outcome.state == "pending"
    assert "TRADING_OPS_EMAIL_TO" in str(outcome.error)


@pytest.fixture
def picky_server() -> Iterator[tuple[str, list[list[str]]]]:
    from aiosmtpd.controller import Controller
    from aiosmtpd.smtp import AuthResult

    taken: list[list[str]] = []

    class Picky:
        async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
            if address.startswith("gone"):
                return "550 5.1.1 no such user"
            envelope.rcpt_tos.append(address)
            return "250 OK"

        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
            taken.append(list(envelope.rcpt_tos))
            return "250 OK"

    controller = Controller(
        Picky(), "127.0.0.1", free_port(), authenticator=lambda *_: AuthResult(success=True), auth_require_tls=False
    )
    controller.start()
    yield f"http://127.0.0.1:{controller.port}", taken
    controller.stop()


def test_broken_provider_fails_as_its_channel(channels: Settings) -> None:
    senders = channel_senders(channels, ["pigeon", "slack"])
    assert attempt(senders["slack"], message()) == Outcome("delivered")
    assert attempt(senders["pigeon"], message()).state == "pending"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), ("0.5", 0.5), ("-3", 0.0), ("soon", None), ("", None), ("inf", None), ("nan", None)],
)
def test_retry_after_is_read_as_seconds(value: str, seconds: float | None) -> None:
    assert retry_after({"Retry-After": value}) == seconds


def test_retry_after_is_read_as_a_date_and_bounded(channels: Settings, control: Control) -> None:
    assert retry_after({"retry-after": "Sat, 22 Nov 2025 01:00:00 GMT"}) == 0.0
    control.script("sinks", PATHS["slack"], retry_after=10**7)
    assert attempt(sender(channels, "slack"), message()).retry_after_s == LONGEST_WAIT_S
