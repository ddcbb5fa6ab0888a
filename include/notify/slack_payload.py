"""A message as the body of a Slack incoming webhook: one attachment with a coloured edge."""

from __future__ import annotations

from typing import Any

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

ELLIPSIS = "…"


def slack_payload(message: Message) -> dict[str, Any]:
    """Return the body to post; all texts are escaped and no longer than Slack takes."""
    fields = [
        {
            "title": fit(name, MAX_TITLE),
            "value": fit(value, MAX_FIELD_VALUE),
            "short": len(value) <= SHORT_VALUE,
        }
        for name, value in list(message.fields.items())[:MAX_FIELDS]
    ]
    title = fit(f"{EMOJI[message.severity]} {message.title}", MAX_TITLE)
    attachment = {
        "color": COLOURS[message.severity],
        "fallback": title,
        "title": title,
        "text": fit(message.body, MAX_TEXT),
        "fields": fields,
        "footer": FOOTER,
        "ts": int(message.created_at.timestamp()),
    }
    return {"attachments": [attachment]}


def fit(text: str, limit: int) -> str:
    """Return the text with Slack's three control characters escaped, cut to `limit` characters with an ellipsis.

    It is cut before an escape sequence, never inside one.
    """
    pieces = [{"&": "&amp;", "<": "&lt;", ">": "&gt;"}.get(character, character) for character in text]
    if sum(map(len, pieces)) <= limit:
        return "".join(pieces)
    kept: list[str] = []
    room = limit - len(ELLIPSIS)
    for piece in pieces:
        if len(piece) > room:
            break
        kept.append(piece)
        room -= len(piece)
    return "".join(kept).rstrip() + ELLIPSIS
