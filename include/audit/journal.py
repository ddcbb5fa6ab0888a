"""Audit rows on their way to MongoDB: small fsynced files in a subfolder of the spool, bounded in number and size.

Writing one never raises and never waits for MongoDB: it happens inside every task, in the scheduler and in the API
server. Results come first: rows are dropped, and counted, long before they could take the disk from them.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.notify.scrub import excerpt
from include.store.whole_file import write_whole

if TYPE_CHECKING:
    from include.settings import Settings

log = logging.getLogger(__name__)

FOLDER = "audit"
SUFFIX = ".jsonl"
DROPPED = "dropped"
"""A file with one byte per dropped row."""
MAX_ROW_BYTES = 4_096
SHARE = 0.25
"""Of `spool_max_mb`, what audit rows may take at most."""
FREE_FOR_RESULTS_BYTES = 100_000_000
"""With less free space on the disk, rows are dropped: results and messages need it."""
BLOCK_BYTES = 4_096
"""A file takes at least so much, however small it is."""


class Journal:
    """The folder of one host's audit rows that MongoDB does not have yet.

    :param max_bytes: what its files may take together.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes

    @classmethod
    def of(cls, settings: Settings) -> Journal:
        """Return the configured journal."""
        return cls(settings.spool_dir / FOLDER, round(settings.spool_max_mb * 1_000_000 * SHARE))

    def append(self, rows: Sequence[Mapping[str, Any]]) -> bool:
        """Keep rows, all in one file; False when they were dropped (and counted). Raises nothing.

        :param rows: JSON-able; one beyond 4 KiB is shortened to its short fields.
        """
        if not rows:
            return True
        try:
            content = b"".join(_line(row) for row in rows)
            self.folder.mkdir(parents=True, exist_ok=True)
            if self._is_full(len(content)):
                raise OSError("its share of the spool, or the disk, is used up")
            # The scheduler must not wait for two syncs: a row that a crash of the host takes is no loss of work.
            path = self.folder / f"{time.time_ns():020d}-{uuid.uuid4().hex[:12]}{SUFFIX}"
            write_whole(path, content, sync_folder=False)
        except Exception as error:  # noqa: BLE001 - an audit row must never fail what it is about
            self.count_dropped(len(rows), error)
            return False
        return True

    def pending(self, limit: int) -> list[Path]:
        """Return the oldest files, in the order in which they were written."""
        try:
            return sorted(path for path in self.folder.iterdir() if path.suffix == SUFFIX)[:limit]
        except FileNotFoundError:
            return []

    def dropped(self) -> int:
        """Return how many rows were dropped since the count was last forgotten."""
        try:
            return (self.folder / DROPPED).stat().st_size
        except OSError:
            return 0

    def forget_dropped(self) -> None:
        """Start counting at 0 again, once the count has been said; in a folder that is read-only it stays."""
        try:
            (self.folder / DROPPED).unlink(missing_ok=True)
        except OSError as error:
            log.warning("the count of dropped rows in %s cannot be removed: %s", self.folder, error.strerror)

    def _is_full(self, size: int) -> bool:
        if shutil.disk_usage(self.folder).free < FREE_FOR_RESULTS_BYTES:
            return True
        with os.scandir(self.folder) as entries:
            names = [entry for entry in entries if entry.name.endswith(SUFFIX)]
            # Most rows are single ones in a block of their own: only near the limit it pays to look at each file.
            if len(names) * BLOCK_BYTES * 4 + size < self.max_bytes:
                return False
            taken = sum(_blocks(entry) for entry in names)
        return taken + max(BLOCK_BYTES, size) > self.max_bytes

    def count_dropped(self, rows: int, error: Exception) -> None:
        """Count what could not be kept, so that it is said; raises nothing."""
        log.warning("%d audit row(s) dropped: %s: %s", rows, type(error).__name__, excerpt(error))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / DROPPED).open("ab") as file:
                file.write(b"." * rows)
        except OSError:
            return  # neither a row nor its loss can be written; the spool's state says what is wrong with the folder


def _line(row: Mapping[str, Any]) -> bytes:
    line = json.dumps(row, allow_nan=False, default=str).encode()
    if len(line) >= MAX_ROW_BYTES:
        short = {key: value for key, value in row.items() if not isinstance(value, str) or len(value) <= 250}
        line = json.dumps({**short, "shortened": True}, allow_nan=False, default=str).encode()
    return line + b"\n"


def _blocks(entry: os.DirEntry[str]) -> int:
    try:
        return max(BLOCK_BYTES, entry.stat().st_size)
    except FileNotFoundError:  # collected meanwhile
        return 0
