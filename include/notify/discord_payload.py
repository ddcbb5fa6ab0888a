"""A message as the body of a Discord webhook: one embed with a coloured edge."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from include.notify.fit import fit, printable, utf16
from include.notify.message import EMOJI, Message, Severity

COLOURS = {Severity.INFO: 3447003, Severity.WARNING: 16776960, Severity.ERROR: 16711680, Severity.CRITICAL: 10038562}
FOOTER = "Trading Ops"

# https://discord.com/developers/docs/resources/message#embed-object-embed-limits
MAX_TITLE = 256
MAX_DESCRIPTION = 4096
MAX_FIELDS = 25
MAX_NAME = 256
MAX_VALUE = 1024
MAX_EMBED = 6000
"""Over title, description, footer and all names and values of the fields."""
FIELDS_SHARE = 2500
"""The text comes first: so much of the sum is for the fields, at most."""
SHORT_VALUE = 40
EMPTY = "-"
"""Discord refuses empty names and values."""

_ZERO_WIDTH = "\u200b"
_PIECE = re.compile(
    r"(?P<call>@(?=everyone|here)|<(?=[@#!:/]))|(?P<markup>[*`\\]|_(?=_)|(?<=_)_|~(?=~)|(?<=~)~|\|(?=\|)|(?<=\|)\|)|.",
    re.DOTALL,
)


def discord_payload(message: Message) -> dict[str, Any]:
    """Return the body to post: shown as it is written, calling nobody, within all of Discord's limits."""
    title = shown(f"{EMOJI[message.severity]} {message.title}", MAX_TITLE)
    fields = _fields(message.fields)
    used = utf16(title + FOOTER) + sum(utf16(field["name"] + field["value"]) for field in fields)
    embed = {
        "title": title,
        "description": shown(message.chat or message.body, min(MAX_DESCRIPTION, MAX_EMBED - used)),
        "color": COLOURS[message.severity],
        "fields": fields,
        "footer": {"text": FOOTER},
        "timestamp": message.created_at.isoformat(),
    }
    return {"embeds": [embed], "allowed_mentions": {"parse": []}}


def shown(text: str, limit: int) -> str:
    """Return the text with Discord's markup and mentions defused, at most `limit` UTF-16 units."""
    return fit(_pieces(printable(text)), limit, utf16)


def _pieces(text: str) -> Iterator[str]:
    for match in _PIECE.finditer(text):
        if match.lastgroup == "call":
            yield match[0] + _ZERO_WIDTH
        else:
            yield "\\" + match[0] if match.lastgroup == "markup" else match[0]


def _fields(facts: Mapping[str, str]) -> list[dict[str, Any]]:
    fields: list[dict[str, Any]] = []
    room = FIELDS_SHARE
    for number, (name, value) in enumerate(facts.items()):
        title, text = shown(name, MAX_NAME).strip() or EMPTY, shown(value, MAX_VALUE).strip() or EMPTY
        room -= utf16(title) + utf16(text)
        if room < 0 or len(fields) == MAX_FIELDS - 1:
            fields.append({"name": "…", "value": f"{len(facts) - number} more", "inline": False})
            break
        fields.append({"name": title, "value": text, "inline": len(value) <= SHORT_VALUE})
    return fields
