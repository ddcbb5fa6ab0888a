"""Slack, Discord, Telegram and mail: accepted, refused as the real ones refuse, read back."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any

import httpx
import pytest

from sandbox.control import Control, ControlError
from sandbox.launcher import Sandbox


@pytest.fixture
def smtp(sandbox: Sandbox) -> Iterator[smtplib.SMTP]:
    host, port = sandbox.urls["smtp"].removeprefix("smtp://").split(":")
    with smtplib.SMTP(host, int(port), timeout=20) as client:
        yield client


def mail() -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "ops@example.com", "a@example.com", "[CRITICAL] Überlast"
    message.set_content("The bot is losing.\n")
    message.add_alternative("<b>The bot is losing.</b>", subtype="html")
    message.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="chart.png")
    return message


def test_slack_answers_ok_and_the_message_can_be_read(sandbox: Sandbox, control: Control) -> None:
    payload = {"text": "Report ✅", "attachments": [{"color": "#36a64f", "text": "fine"}]}
    answer = httpx.post(sandbox.urls["slack"], json=payload)
    assert (answer.status_code, answer.text) == (200, "ok")
    received = control.messages("slack")
    assert [message["payload"] for message in received] == [payload]
    assert control.messages("discord") == []


@pytest.mark.parametrize(("content", "complaint"), [(b"not json", "invalid_payload"), (b"{}", "no_text")])
def test_slack_refuses_what_it_cannot_show(sandbox: Sandbox, control: Control, content: bytes, complaint: str) -> None:
    answer = httpx.post(sandbox.urls["slack"], content=content)
    assert (answer.status_code, answer.text) == (400, complaint)
    assert control.messages() == []


def test_discord_answers_204_and_refuses_values_that_are_too_long(sandbox: Sandbox, control: Control) -> None:
    def embed(value: str) -> dict[str, Any]:
        return {"embeds": [{"title": "t", "fields": [{"name": "n", "value": value}]}]}

    assert httpx.post(sandbox.urls["discord"], json=embed("x" * 1024)).status_code == 204
    refused = httpx.post(sandbox.urls["discord"], json=embed("x" * 1025))
    assert refused.status_code == 400
    assert refused.json()["code"] == 50035
    assert httpx.post(sandbox.urls["discord"], json={}).json()["code"] == 50006
    assert len(control.messages("discord")) == 1


def test_telegram_answers_a_message_and_refuses_unescaped_html(sandbox: Sandbox, control: Control) -> None:
    url = sandbox.urls["telegram"] + "/bot123:abc/sendMessage"
    message = {"chat_id": "42", "text": "⚠️ <b>Title</b>\n\n&lt;urllib3&gt;", "parse_mode": "HTML"}
    good = httpx.post(url, json=message)
    assert good.json()["ok"] is True
    assert good.json()["result"]["chat"]["id"] == "42"
    bad = httpx.post(url, data=message | {"text": "failed: <urllib3.connection>"})
    assert bad.status_code == 400
    assert bad.json()["ok"] is False
    assert "can't parse entities" in bad.json()["description"]
    unclosed = httpx.post(url, json=message | {"text": "<b>Title"})
    assert "end tag" in unclosed.json()["description"]
    assert [received["payload"] for received in control.messages("telegram")] == [message]
    assert httpx.get(sandbox.urls["telegram"] + "/bot123:abc/getMe").json()["result"]["is_bot"] is True


def test_a_webhook_can_be_told_to_fail(sandbox: Sandbox, control: Control) -> None:
    control.script("sinks", "/services/*", status=500, times=1)
    control.script("sinks", "/api/webhooks/*", retry_after=2, json={"message": "rate limited", "retry_after": 2.0})
    assert httpx.post(sandbox.urls["slack"], json={"text": "x"}).status_code == 500
    assert httpx.post(sandbox.urls["slack"], json={"text": "x"}).status_code == 200
    assert httpx.post(sandbox.urls["discord"], json={"content": "x"}).status_code == 429
    assert len(control.messages()) == 1


def test_a_mail_can_be_read_back(control: Control, smtp: smtplib.SMTP) -> None:
    smtp.send_message(mail(), to_addrs=["a@example.com", "b@example.com"])
    (received,) = control.messages("smtp")
    payload = received["payload"]
    assert payload["subject"] == "[CRITICAL] Überlast"
    assert payload["rcpt_to"] == ["a@example.com", "b@example.com"]
    assert payload["text"] == "The bot is losing.\n"
    assert "<b>" in payload["html"]
    assert payload["attachments"] == [{"name": "chart.png", "type": "image/png", "size": 4}]


def test_a_login_is_accepted(control: Control, smtp: smtplib.SMTP) -> None:
    smtp.login("ops", "secret")
    smtp.send_message(mail())
    assert len(control.messages("smtp")) == 1


def test_the_mail_server_refuses_as_told_and_then_takes_mail(control: Control, smtp: smtplib.SMTP) -> None:
    control.mail_trouble(reply="451 4.3.0 Temporary failure", times=1)
    with pytest.raises(smtplib.SMTPDataError) as refused:
        smtp.send_message(mail())
    assert refused.value.smtp_code == 451
    smtp.send_message(mail())
    assert len(control.messages("smtp")) == 1


def test_the_mail_server_can_drop_the_connection(control: Control, smtp: smtplib.SMTP) -> None:
    control.mail_trouble(drop=True, times=1)
    with pytest.raises(smtplib.SMTPServerDisconnected):
        smtp.send_message(mail())
    assert control.messages("smtp") == []


def test_an_unknown_mail_trouble_is_refused(control: Control) -> None:
    with pytest.raises(ControlError, match="refused"):
        control.mail_trouble(colour="red")
