"""Makes a document fit for storing, or says exactly which part of it is not."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from numbers import Integral, Real
from typing import Any

from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId

from include.errors import BadInputError
from include.notify.scrub import scrub

IDENTITY = ("_id", "task_id", "dedupe_key")
MAY_HOLD_A_SECRET = re.compile(
    r"[:=@%]|--|/services|webhook|\b(?:sk|xai|xox[a-z])-|\bgh[pousr]_|\bAKIA|\beyJ|[A-Z0-9]{64}|Bearer|Basic|password",
    re.IGNORECASE,
)
"""What every form of a secret has something of; most texts of a document, such as `BTCUSDT` or `HOLD`, have nothing."""
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


def storable(document: Mapping[str, Any], *, scrubbing: bool = True) -> dict[str, Any]:
    """Return a copy with numpy's numbers and arrays as plain ones, tuples as lists, and half characters as `?`.

    Secrets in its texts are blacked out: an error that a service has worded may hold any. Its own identity stays.
    `scrubbing=False` is for what has been scrubbed part by part already, and must stay as it is.

    A half character (a lone surrogate, as in an emoji that somebody has cut) comes out of any JSON answer and goes into
    no database.

    :raises BadInputError: for NaN, infinity, an integer beyond 64 bits, a time without a zone, a key that is
        no text or holds a NUL, or a type that MongoDB does not know; the message names the path, as
        `results.models.0.accuracy`.
    """
    if not isinstance(document, Mapping):
        raise BadInputError(f"a {type(document).__name__} is no document; give a mapping")
    clean = _clean if scrubbing else _whole
    return {
        _key(key, ""): _value(value, str(key), _whole if key in IDENTITY else clean) for key, value in document.items()
    }


def _value(value: Any, path: str, text: Callable[[str], str]) -> Any:
    if hasattr(value, "dtype") and hasattr(value, "tolist"):  # numpy, without importing it
        value = value.tolist()
    if isinstance(value, str):
        return text(value)
    if value is None or isinstance(value, (bool, bytes, Int64, ObjectId, Decimal128)):
        return value
    if isinstance(value, Integral):
        number = int(value)
        if not INT64_MIN <= number <= INT64_MAX:
            raise BadInputError(f"{path} is {number}, which does not fit into 64 bits; store it as text")
        return number
    if isinstance(value, Real):
        if not math.isfinite(value):
            raise BadInputError(f"{path} is {float(value)}; store None and a reason where there is no number")
        return float(value)
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise BadInputError(f"{path} is {value.isoformat()} without a time zone; use an aware UTC time")
        return value
    if isinstance(value, Mapping):
        return {_key(key, path): _value(part, f"{path}.{key}", text) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_value(part, f"{path}.{i}", text) for i, part in enumerate(value)]
    hint = "use an aware datetime or text" if isinstance(value, date) else "convert it first"
    raise BadInputError(f"{path} is a {type(value).__name__}, which cannot be stored; {hint}")


def _key(key: object, path: str) -> str:
    if not isinstance(key, str):
        raise BadInputError(f"{path or 'the document'} has the key {key!r}, a {type(key).__name__}; use text")
    if "\0" in key:
        raise BadInputError(f"{path or 'the document'} has the key {key!r} with a NUL, which no database takes")
    return _whole(key)


def _clean(text: str) -> str:
    return scrub(text) if MAY_HOLD_A_SECRET.search(text) else _whole(text)


def _whole(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
