"""A message as the body of a Slack incoming webhook: one attachment with a coloured edge."""

from __future__ import annotations

from typing import Any

from include.notify.fit import fit, printable
from include.notify.message import EMOJI, Message, Severity

COLOURS = {
    Severity.INFO: "#36a64f",
    Severity.WARNING: "#ff9900",
    Severity.ERROR: "#ff0000",
    Severity.CRITICAL: "#990000",
}
FOOTER = "Trading Ops"

# Slack refuses or cuts what is longer. 3000 is the limit of a text object, 2000 of a field, 150 of a header.
MAX_TITLE = 150
MAX_TEXT = 3000
MAX_FIELD_VALUE = 2000
MAX_FIELDS = 20
SHORT_VALUE = 40
"""A value up to this length shares its line with the next one."""

ESCAPED = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
"""Slack's three control characters; without a bare `<` no `<!channel>` calls anybody."""


def slack_payload(message: Message) -> dict[str, Any]:
    """Return the body to post; all texts are escaped, no longer than Slack takes, and shown as they are."""
    fields = [
        {
            "title": escaped(name, MAX_TITLE),
            "value": escaped(value, MAX_FIELD_VALUE),
            "short": len(value) <= SHORT_VALUE,
        }
        for name, value in list(message.fields.items())[:MAX_FIELDS]
    ]
    title = escaped(f"{EMOJI[message.severity]} {message.title}", MAX_TITLE)
    attachment = {
        "color": COLOURS[message.severity],
        "fallback": title,
        "title": title,
        "text": escaped(message.chat or message.body, MAX_TEXT),
        "fields": fields,
        "mrkdwn_in": [],  # no field: an error's text is not Slack's markup
        "footer": FOOTER,
        "ts": int(message.created_at.timestamp()),
    }
    return {"attachments": [attachment]}


def escaped(text: str, limit: int) -> str:
    """Return the text with Slack's control characters escaped, at most `limit` characters."""
    return fit((ESCAPED.get(character, character) for character in printable(text)), limit)
