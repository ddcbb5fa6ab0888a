"""Moves audit rows from a host's journal to MongoDB, in bulk; doing it twice changes nothing."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymongo
from pymongo import UpdateMany, UpdateOne
from pymongo.errors import BulkWriteError, OperationFailure

from include.audit.rows import RUN_OVER, SOURCES, START
from include.errors import ServiceUnavailableError
from include.notify.scrub import scrub
from include.store.collections import AUDIT_LOG
from include.store.outage import mongo_outage

if TYPE_CHECKING:
    from pymongo.database import Database

    from include.audit.journal import Journal

log = logging.getLogger(__name__)

BATCH_FILES = 1_000
MAX_FILES = 20_000
"""Files that one call moves at most; the next one goes on."""
DUPLICATE_KEY = 11000
TIMEOUT_S = 60.0
"""For one batch: a MongoDB that hangs must not hold this up for ever."""
TIMES = ("started_at", "ended_at", "noted_at")
KILLED = "killed"
"""State of a try that nobody ended: its process was killed, and its run went on or ended without it."""
KILLED_ERROR = "the task's process ended without a word: it was killed, or its host was lost"


@dataclass(frozen=True)
class CollectReport:
    """What one call moved: rows and lines, files that still wait, unreadable lines, and why it stopped (if it did)."""

    moved: int
    waiting: int
    unreadable: int
    problem: str | None = None


def collect(journal: Journal, db: Database[dict[str, Any]]) -> CollectReport:
    """Store the journal's rows and remove its files. Stops while MongoDB is away; the rest waits for the next call.

    A line that cannot be read is dropped and counted: it is one row, and a file is written whole or not at all.
    """
    moved = unreadable = 0
    try:
        files = journal.pending(MAX_FILES)
    except OSError as error:
        return CollectReport(0, 0, 0, f"the journal {journal.folder} cannot be read ({error.strerror})")
    for start in range(0, len(files), BATCH_FILES):
        batch = files[start : start + BATCH_FILES]
        lines, broken = _read(batch)
        try:
            store_lines(db, lines)
        except (ServiceUnavailableError, OperationFailure) as error:
            return CollectReport(moved, len(files) - start, unreadable, scrub(str(error)))
        try:
            for path in batch:
                path.unlink(missing_ok=True)
        except OSError as error:  # stored again by the next call, which changes nothing
            return CollectReport(moved, len(files) - start, unreadable, f"{path} cannot be removed ({error.strerror})")
        moved, unreadable = moved + len(lines), unreadable + broken
    return CollectReport(moved, len(journal.pending(MAX_FILES)), unreadable)


def store_lines(db: Database[dict[str, Any]], lines: list[dict[str, Any]]) -> None:
    """Merge rows into the audit log; a row from a weaker source never overwrites one from a stronger source.

    :raises ServiceUnavailableError: while MongoDB is away.
    """
    rows: dict[str, dict[str, Any]] = {}
    for line in lines:
        if line.get("kind") != RUN_OVER:
            known = rows.get(line["_id"])
            rows[line["_id"]] = line if known is None else _stronger(known, line)
    writes: list[Any] = [UpdateOne({"_id": key}, _merge(row), upsert=True) for key, row in rows.items()]
    with mongo_outage("storing audit rows"), pymongo.timeout(TIMEOUT_S):
        if writes:
            _write(db, writes)
        over = [_end_killed(line) for line in lines if line.get("kind") == RUN_OVER]
        if over:
            _write(db, over)


def _write(db: Database[dict[str, Any]], writes: list[Any]) -> None:
    try:
        db[AUDIT_LOG].bulk_write(writes, ordered=False)
    except BulkWriteError as error:
        if any(part.get("code") != DUPLICATE_KEY for part in error.details.get("writeErrors", [{}])):
            raise
        db[AUDIT_LOG].bulk_write(writes, ordered=False)  # two collectors met at a new row; now it is there


def _stronger(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    if SOURCES.index(second["source"]) >= SOURCES.index(first["source"]):
        return {**first, **second}
    return {**second, **first}


def _merge(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the update that merges a row into what is stored: the stronger source's fields win."""
    fresh = {"$literal": row}
    is_weaker = {"$lt": [SOURCES.index(row["source"]), {"$indexOfArray": [list(SOURCES), "$source"]}]}
    merged = {"$cond": [is_weaker, {"$mergeObjects": [fresh, "$$ROOT"]}, {"$mergeObjects": ["$$ROOT", fresh]}]}
    return [{"$replaceWith": merged}]


def _end_killed(line: Mapping[str, Any]) -> UpdateMany:
    return UpdateMany(
        {"dag_id": line["dag_id"], "run_id": line["run_id"], "state": "running", "source": START},
        {"$set": {"state": KILLED, "error": KILLED_ERROR}},
    )


def _read(files: list[Path]) -> tuple[list[dict[str, Any]], int]:
    lines: list[dict[str, Any]] = []
    broken = 0
    for path in files:
        try:
            content = path.read_text(encoding="utf-8")
        except FileNotFoundError:  # another collector was faster
            continue
        except (OSError, UnicodeDecodeError) as error:
            log.warning("%s cannot be read: %s", path, error)
            broken += 1
            continue
        for text in content.splitlines():
            try:
                lines.append(_typed(json.loads(text)))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                log.warning("a line of %s is no audit row: %s", path, error)
                broken += 1
    return lines, broken


def _typed(line: dict[str, Any]) -> dict[str, Any]:
    if line.get("kind") == RUN_OVER:
        return {name: line[name] for name in ("kind", "dag_id", "run_id")}
    if not isinstance(line["_id"], str) or line["source"] not in SOURCES:
        raise ValueError("no _id or no known source")
    return {**line, **{name: datetime.fromisoformat(line[name]) for name in TIMES if name in line}}
