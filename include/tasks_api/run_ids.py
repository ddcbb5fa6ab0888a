"""Names of child runs, derived from their parent's, so that a retry finds the child it started."""

from __future__ import annotations


def child_run_id(prefix: str, parent_run_id: str) -> str:
    """Return the run id of the child that `parent_run_id` starts under the name `prefix`.

    >>> child_run_id("gpt4", "scheduled__2026-11-22T01:00:00+00:00")
    'gpt4__scheduled__2026-11-22T01:00:00+00:00'
    """
    return f"{prefix}__{parent_run_id}"
