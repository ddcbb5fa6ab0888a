"""Moves audit rows from a host's journal to MongoDB, in bulk; doing it twice changes nothing."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymongo
from bson.errors import BSONError
from pymongo import UpdateMany, UpdateOne
from pymongo.errors import BulkWriteError, PyMongoError

from include.audit.rows import RUN_OVER, SOURCES, START
from include.errors import ServiceUnavailableError
from include.notify.scrub import excerpt
from include.store.collections import AUDIT_LOG
from include.store.outage import mongo_outage

if TYPE_CHECKING:
    from pymongo.database import Database

    from include.audit.journal import Journal

log = logging.getLogger(__name__)

BATCH_FILES, BATCH_BYTES = 1_000, 2_000_000
"""What is read and stored at once; a run of thousands of tasks leaves files of hundreds of rows."""
MAX_FILES = 20_000
"""Files that one call moves at most; the next one goes on."""
DUPLICATE_KEY = 11000
DAMAGED = "damaged"
"""Subfolder of the journal for files with a row that MongoDB never takes."""
NEVER_TAKEN = (BulkWriteError, BSONError, ValueError, OverflowError)
TIMEOUT_S = 60.0
"""For one batch: a MongoDB that hangs must not hold this up for ever."""
TIMES = ("started_at", "ended_at", "noted_at")
KILLED = "killed"
"""State of a try that nobody ended: its process was killed, and its run went on or ended without it."""
KILLED_ERROR = "the task's process ended without a word: it was killed, or its host was lost"


@dataclass(frozen=True)
class CollectReport:
    """What one call moved: rows and lines, files that still wait, unreadable lines, and why it stopped (if it did).

    :param damaged: names of the files that were moved to the subfolder `damaged` by this call.
    """

    moved: int
    waiting: int
    unreadable: int
    problem: str | None = None
    damaged: tuple[str, ...] = ()


def collect(journal: Journal, db: Database[dict[str, Any]]) -> CollectReport:
    """Store the journal's rows and remove its files. Stops while MongoDB is away; the rest waits for the next call.

    A line that cannot be read is dropped and counted: it is one row, and a file is written whole or not at all. A file
    with a row that MongoDB will never take is set aside, so that it holds up nothing.
    """
    moved = unreadable = done = 0
    damaged: tuple[str, ...] = ()
    try:
        files = journal.pending(MAX_FILES)
    except OSError as error:
        return CollectReport(0, 0, 0, f"the journal {journal.folder} cannot be read ({error.strerror})")
    problem = None
    for batch in _batches(files):
        try:
            rows, broken, aside = _move(db, batch)
        except (ServiceUnavailableError, PyMongoError) as error:
            problem = excerpt(error, 500)
            break
        except OSError as error:  # stored again by the next call, which changes nothing
            problem = f"{error.filename} cannot be removed ({error.strerror})"
            break
        done, moved, unreadable, damaged = done + len(batch), moved + rows, unreadable + broken, damaged + aside
    waiting = len(journal.pending(MAX_FILES)) if problem is None else len(files) - done
    return CollectReport(moved, waiting, unreadable, problem, damaged)


def _batches(files: list[Path]) -> Iterator[list[Path]]:
    """Share the files out, in their order, so that a batch is small in memory and stored well within its time."""
    batch: list[Path] = []
    room = BATCH_BYTES
    for path in files:
        size = _size(path)
        if batch and (size > room or len(batch) == BATCH_FILES):
            yield batch
            batch, room = [], BATCH_BYTES
        batch.append(path)
        room -= size
    if batch:
        yield batch


def _move(db: Database[dict[str, Any]], batch: list[Path]) -> tuple[int, int, tuple[str, ...]]:
    """Store a batch and remove its files; return the rows stored, the unreadable lines, the files set aside."""
    lines, broken = _read(batch)
    try:
        store_lines(db, lines)
    except NEVER_TAKEN as error:
        if len(batch) > 1:  # it is one of them: each for itself shows which
            parts = [_move(db, [path]) for path in batch]
            return sum(part[0] for part in parts), broken, tuple(name for part in parts for name in part[2])
        log.error("%s is set aside: %s: %s", batch[0], type(error).__name__, excerpt(error))
        (batch[0].parent / DAMAGED).mkdir(exist_ok=True)
        batch[0].rename(batch[0].parent / DAMAGED / batch[0].name)
        return 0, broken, (batch[0].name,)
    for path in batch:
        path.unlink(missing_ok=True)
    return len(lines), broken, ()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # its trouble is said when it is read


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
