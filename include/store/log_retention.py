"""Removes old task logs of this host: only in Airflow's log folder, never through a link, never of a running run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from include.store.leases import Owner

DAG_PREFIX, RUN_PREFIX = "dag_id=", "run_id="


@dataclass(frozen=True)
class RemovedLogs:
    """What was (or would be) removed: runs, files and bytes; and runs kept because they still run."""

    runs: int
    files: int
    bytes: int
    kept_running: int


def remove_old_logs(
    folder: Path, older_than: datetime, run_is_over: Callable[[Owner], bool], *, dry_run: bool = False
) -> RemovedLogs:
    """Remove the logs of runs none of whose files was written since; folders that are empty then go too.

    Airflow writes `dag_id=<dag>/run_id=<run>/task_id=<task>/.../attempt=<n>.log`; nothing else is looked at.

    :param folder: Airflow's `base_log_folder`; it need not exist.
    :param run_is_over: asked about each run that is old enough; one that still runs keeps its logs.
    """
    runs = files = size = kept = 0
    for run_folder, owner in _runs(folder):
        found = list(_files(run_folder))
        if any(status.st_mtime >= older_than.timestamp() for _, status in found):
            continue
        if not run_is_over(owner):
            kept += 1
            continue
        runs, files, size = runs + 1, files + len(found), size + sum(status.st_size for _, status in found)
        if not dry_run:
            for path, _ in found:
                path.unlink(missing_ok=True)
            _remove_empty(run_folder)
            _remove_empty(run_folder.parent)
    return RemovedLogs(runs, files, size, kept)


def _runs(folder: Path) -> Iterator[tuple[Path, Owner]]:
    for dag in _folders(folder, DAG_PREFIX):
        for run in _folders(dag, RUN_PREFIX):
            yield run, Owner(dag.name.removeprefix(DAG_PREFIX), run.name.removeprefix(RUN_PREFIX))


def _folders(folder: Path, prefix: str) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(
                Path(entry.path)
                for entry in entries
                if entry.name.startswith(prefix) and entry.is_dir(follow_symlinks=False)
            )
    except FileNotFoundError:
        return []


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the files below a folder, links left out; a folder that vanishes meanwhile has none."""
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.is_symlink():
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path))
        else:
            try:
                yield Path(entry.path), entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue


def _remove_empty(folder: Path) -> None:
    """Remove a folder and those below it where they are empty; one that is not stays."""
    for inner, _, _ in os.walk(folder, topdown=False, followlinks=False):
        try:
            Path(inner).rmdir()
        except OSError:  # not empty (a link stays), or gone
            continue
