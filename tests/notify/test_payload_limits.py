"""Whatever a message says, every service takes it: judged by the sinks' own rules and by the documented limits."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.notify.discord_payload import discord_payload, shown
from include.notify.fit import fit, printable, utf16
from include.notify.mail import mail_of
from include.notify.message import Message, Severity
from include.notify.slack_payload import slack_payload
from include.notify.telegram_payload import escaped, telegram_text
from sandbox.sinks.webhooks import _discord_errors, _telegram_html

NASTY = [
    "<",
    ">",
    "&",
    "🚨",
    "\x00",
    "\n",
    "é",
    "*",
    "_",
    "`",
    "@everyone",
    "<!channel>",
    "<@123>",
    "a" * 700,
    "&amp;",
    " ",
]
texts = st.lists(st.one_of(st.sampled_from(NASTY), st.text(st.characters(), max_size=20)), max_size=25).map("".join)
messages = st.builds(
    Message,
    severity=st.sampled_from(Severity),
    title=texts.map(lambda text: f"t{text}"),
    body=texts.map(lambda text: text * 8),
    dedupe_key=st.just("key"),
    fields=st.dictionaries(texts, texts, max_size=40),
    created_at=st.just(datetime(2025, 11, 22, 1, 0, tzinfo=UTC)),
    chat=st.one_of(st.just(""), texts),
)


@pytest.mark.critical
@settings(max_examples=60, deadline=None)
@given(messages)
def test_every_service_takes_every_message(message: Message) -> None:
    slack = json.loads(json.dumps(slack_payload(message)))["attachments"][0]
    assert len(slack["title"]) <= 150
    assert len(slack["text"]) <= 3000
    assert all(len(field["title"]) <= 150 and len(field["value"]) <= 2000 for field in slack["fields"])
    assert "<" not in json.dumps(slack)

    discord = json.loads(json.dumps(discord_payload(message)))
    assert _discord_errors(discord) == {}
    (embed,) = discord["embeds"]
    whole = [embed["title"], embed["description"], embed["footer"]["text"]]
    whole += [field[part] for field in embed["fields"] for part in ("name", "value")]
    assert sum(map(utf16, whole)) <= 6000
    assert all(field["name"].strip() and field["value"].strip() for field in embed["fields"])
    assert discord["allowed_mentions"] == {"parse": []}
    assert not re.search(r"@everyone|@here|<[@#!]", " ".join(whole))

    telegram = telegram_text(message)
    assert 0 < len(telegram.encode("utf-16-le")) // 2 <= 4096
    assert _telegram_html(telegram) == ""
    bare = re.sub(r"</?b>|&(amp|lt|gt);", "", telegram)
    assert not set(bare) & set("<>&")
    assert "\x00" not in telegram

    mail = message_from_bytes(
        mail_of(message, "ops@example.com", ["a@example.com"], "c").as_bytes(), policy=policy.SMTP
    )
    kinds = [part.get_content_type() for part in mail.walk()]
    assert kinds == ["multipart/alternative", "text/plain", "text/html"]
    assert all(len(line) <= 998 for line in mail.as_bytes().split(b"\r\n"))


@given(st.text(alphabet=st.sampled_from("ab<>&é🔴 "), max_size=80), st.integers(10, 60))
def test_cut_text_fits_and_has_no_broken_escape(text: str, limit: int) -> None:
    cut = escaped(text, limit)
    assert utf16(cut) <= limit
    bare = cut.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "")
    assert not set(bare) & set("&<>")


@given(st.text(alphabet=st.sampled_from("ab🔴"), max_size=30), st.integers(1, 30))
def test_only_what_is_too_long_is_cut(text: str, limit: int) -> None:
    cut = fit(text, limit, utf16)
    assert (cut == text) is (utf16(text) <= limit)
    assert cut == text or (cut.endswith("…") and text.startswith(cut[:-1]))


def test_discord_shows_markup_as_it_is_written() -> None:
    assert shown("**kwargs of __init__ in a_b `x`", 100) == r"\*\*kwargs of \_\_init\_\_ in a_b \`x\`"
    assert shown("mail ops@example.com <b>", 100) == "mail ops@example.com <b>"


def test_chat_form_replaces_the_body_in_chats_only() -> None:
    message = Message(Severity.INFO, "Report", "the long body", "key", chat="short")
    assert "short" in str(slack_payload(message)) + str(discord_payload(message)) + telegram_text(message)
    for payload in (slack_payload(message), discord_payload(message), telegram_text(message)):
        assert "short" in str(payload)
        assert "long body" not in str(payload)
    mail = mail_of(message, "ops@example.com", ["a@example.com"], "c")
    assert "the long body" in mail.as_string()
    assert "short" not in mail.as_string()


def test_facts_that_do_not_fit_are_counted() -> None:
    message = Message(Severity.INFO, "Report", "body", "key", {f"name {n}": "v" * 300 for n in range(60)})
    (embed,) = discord_payload(message)["embeds"]
    shown_fields = len(embed["fields"]) - 1
    assert embed["fields"][-1]["value"] == f"{60 - shown_fields} more"
    assert re.search(r"… \d+ more$", telegram_text(message))


@pytest.mark.parametrize(
    ("severity", "colour", "emoji"),
    [("info", 3447003, "ℹ️"), ("warning", 16776960, "⚠️"), ("error", 16711680, "❌"), ("critical", 10038562, "🚨")],
)
def test_each_severity_has_its_colour_and_sign(severity: str, colour: int, emoji: str) -> None:
    message = Message(Severity(severity), "Report", "body", "key")
    (embed,) = discord_payload(message)["embeds"]
    assert (embed["color"], embed["title"]) == (colour, f"{emoji} Report")
    assert telegram_text(message) == f"{emoji} <b>Report</b>\n\nbody"


def test_half_characters_and_control_characters_are_no_obstacle() -> None:
    message = Message(Severity.INFO, "file \udcff", "body\x00\x07\r\nend", "key")
    assert (message.title, printable(message.body)) == ("file ?", "body\nend")
