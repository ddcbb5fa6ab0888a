"""What audit rows cost: one appended row against a bare fsynced file, and moving thousands of them to MongoDB.

Run `python -m benchmarks.bench_audit`; exits with 1 when a row takes more than 3 times the bare write.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pymongo

from include.audit.collect import collect
from include.audit.journal import Journal
from include.store.collections import AUDIT_LOG, ensure_indexes
from sandbox.mongod import start_mongod

ROWS = 4_000
SAMPLES = 300
LIMIT_RATIO = 3.0


def row(number: int) -> dict[str, Any]:
    """Return a row as a listener writes it."""
    return {
        "_id": f"train_model:manual__2026:t:{number}:1", "source": "start", "dag_id": "train_model", "attempt": 1,
        "run_id": "manual__2026", "task_id": "t", "map_index": number, "state": "running", "who": "mia",
        "started_at": "2026-01-01T00:00:00+00:00", "noted_at": "2026-01-01T00:00:00+00:00", "params": "x" * 300,
    }  # fmt: skip


def bare(path: Path, content: bytes) -> float:
    """Write and fsync a file; return the seconds."""
    start = time.perf_counter()
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return time.perf_counter() - start


def main() -> int:
    """Measure and print; return the exit code."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        journal = Journal(folder / "audit", 10**9)
        appended, plain = [], []
        for number in range(SAMPLES):  # interleaved, so that a busy moment hits both
            start = time.perf_counter()
            journal.append([row(number)])
            appended.append(time.perf_counter() - start)
            plain.append(bare(folder / f"bare-{number}", json.dumps(row(number)).encode()))
        for number in range(SAMPLES, ROWS):
            journal.append([row(number)])
        full_s = statistics.median(_timed(journal, ROWS + number) for number in range(50))
        (folder / "mongo").mkdir()
        mongod = start_mongod(folder / "mongo")
        try:
            with pymongo.MongoClient[dict[str, Any]](mongod.uri) as client:
                db = client["bench"]
                ensure_indexes(db)
                start = time.perf_counter()
                report = collect(journal, db)
                moving_s = time.perf_counter() - start
                if report.moved != db[AUDIT_LOG].count_documents({}) or report.waiting:
                    raise AssertionError(f"{report} does not match what is stored")
        finally:
            mongod.stop()
    row_s, bare_s = statistics.median(appended), statistics.median(plain)
    print(f"  append a row, fsynced       {row_s * 1000:7.2f} ms   median of {SAMPLES}")
    print(f"  bare fsynced file           {bare_s * 1000:7.2f} ms   ratio {row_s / bare_s:.2f} (limit {LIMIT_RATIO:g})")
    print(f"  append with {ROWS} waiting    {full_s * 1000:7.2f} ms")
    print(f"  {report.moved} rows to MongoDB      {moving_s:7.2f} s    {report.moved / moving_s:,.0f} a second")
    return 0 if row_s < LIMIT_RATIO * bare_s else 1


def _timed(journal: Journal, number: int) -> float:
    start = time.perf_counter()
    journal.append([row(number)])
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
