"""A strategy run's result as it is stored, and as it travels between tasks."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

XCOM_BYTES = 48 * 1024
MOST_ROWS = 20_000
"""Rows of one list that a document holds: MongoDB takes 16 MB, and 20,000 trades are some 6."""


def stored_result(document: Mapping[str, Any], at: datetime, requested_by: str | None) -> dict[str, Any]:
    """Return the document of a run: what was found, when and for whom; lists too long for it are cut, which is said.

    :param at: aware UTC.
    """
    cut = {name: rows for name, rows in document.items() if isinstance(rows, list) and len(rows) > MOST_ROWS}
    return {
        **document,
        **{name: rows[:MOST_ROWS] for name, rows in cut.items()},
        "left_out": {name: len(rows) - MOST_ROWS for name, rows in cut.items()},
        "timestamp": at,
        "requested_by": requested_by,
    }


def handed_on(stored: Mapping[str, Any], task_id: str, collection: str, drop: Sequence[str]) -> dict[str, Any]:
    """Return the result as it travels: without the long lists, of which it says how long they are and where.

    :param drop: names of parts that never travel; `a.b` is the part `b` of `a`. While the rest has 48 KiB or more, the
        largest part goes too.
    """
    travelling = {**stored, "timestamp": stored["timestamp"].isoformat(), "task_id": task_id, "collection": collection}
    counts = {}
    for path in drop:
        whole, _, part = path.partition(".")
        if part:
            inner = dict(travelling[whole])
            counts[path] = _count(inner.pop(part))
            travelling[whole] = inner
        else:
            counts[path] = _count(travelling.pop(whole))
    while _size({**travelling, "not_in_xcom": counts}) >= XCOM_BYTES:
        largest = max(travelling, key=lambda name: _size(travelling[name]))
        counts[largest] = _count(travelling.pop(largest))
    return {**travelling, "not_in_xcom": counts}


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> str:
    """Return rows as CSV with a header; empty without rows.

    :param columns: by default those of the first row.
    """
    if not rows:
        return ""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=columns or list(rows[0]), extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _count(part: Any) -> int:
    return len(part) if isinstance(part, list | dict) else 1


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=True, default=str))
