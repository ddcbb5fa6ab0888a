"""Files that are there whole and durably, or not at all: what the spool and the audit journal are made of."""

from __future__ import annotations

import os
import time
from pathlib import Path

TORN = ".tmp"
"""Suffix of a file that is being written; what is left under it was torn by the end of its process."""
TORN_AFTER_S = 86_400.0


def write_whole(path: Path, content: bytes, *, sync_folder: bool = True) -> None:
    """Write a new file and return once it is durable; when that fails, nothing of it is left.

    :param sync_folder: whether also its name has to survive a crash of the host.
    :raises OSError: when the folder is full, read-only or not there.
    """
    temporary = path.with_suffix(TORN)
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        if sync_folder:
            sync(path.parent)
    except BaseException:
        _discard(temporary)
        _discard(path)
        raise


def sync(folder: Path) -> None:
    """Make the names in a folder durable (a rename is not, before its folder is synced)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_torn(folder: Path, older_than_s: float = TORN_AFTER_S) -> int:
    """Remove what killed processes have left half-written in a folder, and return how many files; raises nothing."""
    removed = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(TORN) and entry.stat().st_mtime < time.time() - older_than_s:
                    Path(entry.path).unlink(missing_ok=True)
                    removed += 1
    except OSError:
        return removed  # the spool's state says what is wrong with the folder
    return removed


def _discard(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return  # the folder cannot be written to: then there is nothing to remove either
