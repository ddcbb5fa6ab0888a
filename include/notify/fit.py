"""Makes texts fit: a limit in the service's own unit, never a cut inside of an escape sequence."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

ELLIPSIS = "…"
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def fit(pieces: Iterable[str], limit: int, size: Callable[[str], int] = len) -> str:
    """Return the pieces joined, cut to `limit` with an ellipsis where they are longer.

    :param pieces: what must not be cut in two, for instance `a`, `&lt;`; a plain text is its characters.
    :param size: length of a piece in the service's unit.
    """
    kept: list[str] = []
    used = 0
    fitting = 0
    for piece in pieces:
        used += size(piece)
        if used > limit:
            return "".join(kept[:fitting]).rstrip() + ELLIPSIS if limit > 0 else ""
        kept.append(piece)
        if used + len(ELLIPSIS) <= limit:
            fitting = len(kept)
    return "".join(kept)


def utf16(text: str) -> int:
    """Return the length in UTF-16 units, which Telegram counts; never less than the characters.

    >>> utf16("a🚨")
    3
    """
    return len(text) + sum(character > "\uffff" for character in text)


def printable(text: str) -> str:
    """Return the text without what services refuse: half characters, and controls but for line ends and tabs."""
    text = text.encode("utf-8", "replace").decode()
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
