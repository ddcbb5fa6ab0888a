"""What runs leave behind: audit rows, on the disk or in MongoDB, and dead letters."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

from include.audit.journal import Journal
from include.store import collections
from tests.chain.conftest import Bundle


def journal_rows(bundle: Bundle) -> list[dict[str, Any]]:
    """Return the audit rows that are still on the disk."""
    folder = bundle.state_dir / "spool" / "audit"
    return [
        json.loads(line)
        for path in Journal(folder, 1).pending(10_000)
        for line in path.read_text().splitlines()
        if '"_id"' in line
    ]


def running_try(bundle: Bundle, run_id: str) -> dict[str, Any] | None:
    """Return the row of a try that has started and not ended, as the disk says."""
    rows = [row for row in journal_rows(bundle) if row["run_id"] == run_id and "pid" in row]
    ended = {row["_id"] for row in rows if row["source"] == "task_end"}
    return next((row for row in rows if row["_id"] not in ended), None)


def kill_try(bundle: Bundle, run_id: str) -> str | None:
    """Kill the process of a running try and return its row's id; None when there is none at this moment."""
    row = running_try(bundle, run_id)
    if row is None:
        return None
    try:
        os.kill(row["pid"], signal.SIGKILL)
    except ProcessLookupError:
        return None
    return str(row["_id"])


def audit(bundle: Bundle, run_id: str) -> dict[tuple[str, int], dict[str, Any]]:
    rows = bundle.db[collections.AUDIT_LOG].find({"run_id": run_id})
    return {(row["task_id"], row["attempt"]): row for row in rows}


def letter(bundle: Bundle, run_id: str) -> dict[str, Any]:
    found = list(bundle.db[collections.DEAD_LETTERS].find({"run_id": run_id}))
    assert len(found) == 1, f"{len(found)} dead letters of {run_id}"
    return found[0]
