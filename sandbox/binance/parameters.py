"""Query parameters, judged as Binance judges them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from sandbox.binance import errors

SYMBOL_RANGE = "^[A-Z0-9-_.]{1,20}$"
NUMBER_RANGE = "^[0-9]{1,20}$"
DEFAULT_LIMIT = 500
MAX_LIMIT = 1000


def refuse_unknown(query: Mapping[str, str], known: Collection[str]) -> None:
    """Refuse parameters that the endpoint does not read (-1104)."""
    read = sum(name in known for name in query)
    if read != len(query):
        raise errors.unread(read, len(query))


def symbol(query: Mapping[str, str], traded: Collection[str]) -> str:
    """Return the mandatory symbol (-1102, -1100, -1121)."""
    value = query.get("symbol", "")
    if not value:
        raise errors.missing("symbol")
    return checked_symbol(value, traded)


def checked_symbol(value: str, traded: Collection[str]) -> str:
    """Return a symbol that is traded (-1100, -1121)."""
    if not re.fullmatch(r"[A-Z0-9\-_.]{1,20}", value):
        raise errors.illegal_characters("symbol", SYMBOL_RANGE)
    if value not in traded:
        raise errors.invalid_symbol()
    return value


def number(query: Mapping[str, str], name: str) -> int | None:
    """Return an optional whole number (-1105 when empty, -1100 when it is none)."""
    value = query.get(name)
    if value is None:
        return None
    if not value:
        raise errors.BinanceError(-1105, f"Parameter '{name}' was empty.")
    if not re.fullmatch(r"[0-9]{1,20}", value):
        raise errors.illegal_characters(name, NUMBER_RANGE)
    return int(value)


def limit(query: Mapping[str, str]) -> int:
    """Return the number of rows: 500 by default, never more than 1,000 (-1130 for 0)."""
    value = number(query, "limit")
    if value is None:
        return DEFAULT_LIMIT
    if value == 0:
        raise errors.not_valid("limit")
    return min(value, MAX_LIMIT)
