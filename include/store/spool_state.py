"""How the spool is doing: what waits there, since when, and whether it can take more."""

from __future__ import annotations

import errno
import os
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from include.errors import TransientError
from include.notify.scrub import excerpt
from include.store.durable import BYTES_PER_MB, spool_of
from include.store.replay import DAMAGED

if TYPE_CHECKING:
    from include.settings import Settings

PROBE_BYTES = 65_536
"""A folder that does not take so many bytes is full."""


@dataclass(frozen=True)
class SpoolState:
    """The spool of this host at one moment.

    :param waiting: documents that wait for MongoDB.
    :param bytes: their size.
    :param oldest_at: when the oldest of them was spooled, aware UTC; None when none waits.
    :param writable: whether a file could be written just now.
    :param full: whether the configured limit is reached, or the disk is.
    :param damaged: files set aside that a person has to look at.
    :param problem: what is wrong and what to do, in one line; None when nothing is.
    """

    waiting: int
    bytes: int
    oldest_at: datetime | None
    writable: bool
    full: bool
    problem: str | None
    damaged: int = 0


def spool_state(settings: Settings) -> SpoolState:
    """Look at the spool, and write and remove a small file there: permissions alone say too little. Raises nothing."""
    folder, limit = settings.spool_dir, settings.spool_max_mb * BYTES_PER_MB
    failure = _probe(folder)
    try:
        files = spool_of(settings).pending()
        size = sum(_size(path) for path in files)
        damaged = len(list((folder / DAMAGED).iterdir())) if (folder / DAMAGED).is_dir() else 0
    except (TransientError, OSError) as error:
        return SpoolState(0, 0, None, False, False, f"the spool {folder} cannot be read: {excerpt(error)}")
    no_room = failure is not None and failure.errno in (errno.ENOSPC, errno.EDQUOT)
    full = no_room or size >= limit
    problem = None
    if no_room:
        problem = f"no space left for the spool {folder}: results are lost while MongoDB is away; free space there"
    elif failure is not None:
        problem = (
            f"the spool {folder} cannot be written to ({failure.strerror or failure}): results are lost while "
            "MongoDB is away; correct its permissions"
        )
    elif full:
        problem = (
            f"the spool {folder} holds {size / BYTES_PER_MB:.1f} MB, {settings.spool_max_mb:g} MB are allowed: it "
            "takes no more results; bring MongoDB back, or raise TRADING_OPS_SPOOL_MAX_MB"
        )
    return SpoolState(len(files), size, _oldest(files), failure is None, full, problem, damaged)


def _probe(folder: Path) -> OSError | None:
    path = folder / f".probe-{uuid.uuid4().hex}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("xb") as file:
                file.write(bytes(PROBE_BYTES))
                file.flush()
                os.fsync(file.fileno())
        finally:
            path.unlink(missing_ok=True)
    except OSError as error:
        return error
    return None


def _oldest(files: list[Path]) -> datetime | None:
    """Return the time in the first file's name, which is cheaper than reading it."""
    for path in files:
        try:
            return datetime.fromtimestamp(int(path.name.split("-")[0]) / 1e9, UTC)
        except (ValueError, OverflowError):
            continue  # not one of ours
    return None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # replayed meanwhile
        return 0
