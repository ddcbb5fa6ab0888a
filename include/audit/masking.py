"""Blacks out secrets inside nested values, and says where."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from include.notify.scrub import MASK, is_sensitive_name, scrub

MAX_DEPTH = 40
PLAIN = (bool, int, float, date)
"""What holds no text; a datetime is a date."""


def masked(value: Any, path: str = "") -> tuple[Any, list[str]]:
    """Return a JSON-like value with every recognised secret as `***`, and the paths of the changed parts.

    Of an object that JSON does not know only the text is kept, where that holds a secret.

    >>> masked({"symbol": "BTCUSDT", "api_key": "abc", "notes": ["mongodb://a:b@c/"]})
    ({'symbol': 'BTCUSDT', 'api_key': '***', 'notes': ['mongodb://***@c/']}, ['api_key', 'notes.0'])
    """
    return _masked(value, path, MAX_DEPTH)


def _masked(value: Any, path: str, depth: int) -> tuple[Any, list[str]]:
    if depth == 0 and isinstance(value, (Mapping, list, tuple)):
        return MASK, [path]
    if isinstance(value, str):
        clean = scrub(value)
        return clean, [path] if clean != value else []
    if isinstance(value, Mapping):
        parts, paths = {}, []
        for key, part in value.items():
            name = scrub(str(key))
            where = f"{path}.{name}" if path else name
            if is_sensitive_name(str(key)) and part not in (None, "", MASK):
                parts[name] = MASK
                paths.append(where)
                continue
            parts[name], below = _masked(part, where, depth - 1)
            paths += below if name == str(key) else [where]
        return parts, paths
    if isinstance(value, (list, tuple)):
        items = [_masked(part, f"{path}.{i}" if path else str(i), depth - 1) for i, part in enumerate(value)]
        return [item for item, _ in items], [where for _, below in items for where in below]
    if value is None or isinstance(value, PLAIN):
        return value, []
    text = _shown(value)
    clean = scrub(text)
    return (clean, [path]) if clean != text else (value, [])


def _shown(value: object) -> str:
    """Return an object as a log shows it, for instance an error with its text."""
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - an object that cannot even be shown
        return ""
