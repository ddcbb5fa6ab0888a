"""Removes old logs of this host: only in Airflow's log folder, never through a link, never of a running run."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from include.store.leases import Owner

log = logging.getLogger(__name__)

DAG_PREFIX, RUN_PREFIX = "dag_id=", "run_id="
PROCESSOR = "dag_processor"
"""Folder of the DAG processor's logs: a folder a day, a file per DAG file."""


@dataclass(frozen=True)
class RemovedLogs:
    """What was (or would be) removed: runs, files and bytes; runs kept because they still run; what could not go.

    :param failed: runs or days of which a file could not be removed, for instance because it belongs to somebody else.
    :param processor_days: days of the DAG processor.
    """

    runs: int
    files: int
    bytes: int
    kept_running: int
    failed: int = 0
    processor_days: int = 0


def remove_old_logs(
    folder: Path, older_than: datetime, run_is_over: Callable[[Owner], bool], *, dry_run: bool = False
) -> RemovedLogs:
    """Remove the logs of runs none of whose files was written since; folders that are empty then go too.

    Airflow writes `dag_id=<dag>/run_id=<run>/task_id=<task>/.../attempt=<n>.log` and `dag_processor/<day>/...`; nothing
    else is looked at.

    :param folder: Airflow's `base_log_folder`; it need not exist.
    :param run_is_over: asked about each run that is old enough; one that still runs keeps its logs.
    """
    runs = files = size = kept = failed = 0
    for run_folder, owner in _runs(folder):
        found = list(_files(run_folder))
        if any(status.st_mtime >= older_than.timestamp() for _, status in found):
            continue
        if not run_is_over(owner):
            kept += 1
            continue
        if not dry_run and not _remove(run_folder, [path for path, _ in found]):
            failed += 1
            continue
        runs, files, size = runs + 1, files + len(found), size + sum(status.st_size for _, status in found)
    days = 0
    for day_folder in _folders(folder / PROCESSOR, ""):
        if not _is_before(day_folder.name, older_than):
            continue
        found = list(_files(day_folder))
        if not dry_run and not _remove(day_folder, [path for path, _ in found]):
            failed += 1
            continue
        days, files, size = days + 1, files + len(found), size + sum(status.st_size for _, status in found)
    return RemovedLogs(runs, files, size, kept, failed, days)


def _is_before(name: str, moment: datetime) -> bool:
    try:
        return date.fromisoformat(name) < moment.date()
    except ValueError:  # not a day's folder
        return False


def _remove(run_folder: Path, files: list[Path]) -> bool:
    try:
        for path in files:
            path.unlink(missing_ok=True)
    except OSError as error:  # the other runs' logs go all the same
        log.warning("%s cannot be removed: %s", error.filename, error.strerror)
        return False
    _remove_empty(run_folder)
    _remove_empty(run_folder.parent)
    return True


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
    except OSError:  # gone, or not ours to read
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
