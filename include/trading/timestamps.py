"""RFC 3339 times as the bot's services write them: UTC, with 0 to 9 digits of a second."""

from __future__ import annotations

import re
from datetime import UTC, datetime

RFC_3339 = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")


def parse_rfc3339(text: str) -> datetime:
    """Return the time as aware UTC, cut (not rounded) to microseconds.

    >>> parse_rfc3339("2025-11-21T10:00:00.123456789Z").isoformat()
    '2025-11-21T10:00:00.123456+00:00'

    :raises ValueError: for anything else: no zone, a date alone, a 13th month.
    """
    match = RFC_3339.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an RFC 3339 time with a zone, like 2025-11-21T10:00:00.123Z")
    seconds, fraction, zone = match.groups()
    micros = (fraction or "")[:6].ljust(6, "0")
    return datetime.fromisoformat(f"{seconds}.{micros}{'+00:00' if zone == 'Z' else zone}").astimezone(UTC)
