"""A message as the text of a Telegram message, in Telegram's HTML."""

from __future__ import annotations

import html
from collections.abc import Mapping

from include.notify.fit import fit, printable, utf16
from include.notify.message import EMOJI, Message

MAX_TEXT = 4096
"""UTF-16 units. Telegram counts without the markup; counted with it, the text is on the safe side."""
MAX_TITLE = 400
MAX_NAME = 100
MAX_VALUE = 400
FIELDS_SHARE = 1500
"""The text comes first: so much is for the fields, at most."""


def telegram_text(message: Message) -> str:
    """Return the text: title, body (or its chat form), fields; every value escaped, the whole within the limit."""
    head = f"{EMOJI[message.severity]} <b>{escaped(message.title, MAX_TITLE)}</b>"
    foot = _fields(message.fields)
    room = MAX_TEXT - utf16(head) - utf16(foot) - 4  # two empty lines
    body = escaped(message.chat or message.body, room)
    return "\n\n".join(part for part in (head, body, foot) if part.strip())


def escaped(text: str, limit: int) -> str:
    """Return the text with `&`, `<` and `>` escaped, at most `limit` UTF-16 units, no entity cut."""
    return fit((html.escape(character, quote=False) for character in printable(text)), limit, utf16)


def _fields(facts: Mapping[str, str]) -> str:
    lines: list[str] = []
    room = FIELDS_SHARE
    for number, (name, value) in enumerate(facts.items()):
        line = f"• <b>{escaped(name, MAX_NAME)}</b>: {escaped(value, MAX_VALUE)}"
        room -= utf16(line) + 1
        if room < 0:
            lines.append(f"• … {len(facts) - number} more")
            break
        lines.append(line)
    return "\n".join(lines)
