"""Room on the disk: asked for before a training starts, and said clearly when it ends during one."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from include.ml.errors import DiskFullError

BYTES_PER_GB = 10**9
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Disk full, quota used up, file larger than this process may write."""


def free_disk_gb(folder: Path) -> float:
    """Return the free space, in 10^9 bytes, where `folder` is or will be."""
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    return shutil.disk_usage(existing).free / BYTES_PER_GB


def require_free_disk(folder: Path, needed_gb: float) -> None:
    """Refuse to start where a training might not be able to write its files.

    :param folder: the state directory; it need not exist yet.
    :param needed_gb: 10^9 bytes; 0 asks for nothing.
    :raises DiskFullError: `Insufficient disk space: ...` with what is free, needed and the setting that says so.
    """
    free_gb = free_disk_gb(folder)
    if free_gb < needed_gb:
        raise DiskFullError(
            f"Insufficient disk space: {free_gb:.1f} GB free in {folder}, {needed_gb:.1f} GB needed "
            "(TRADING_OPS_MIN_FREE_DISK_GB); free space there or lower the setting"
        )


@contextmanager
def disk_room(folder: Path) -> Iterator[None]:
    """Turn "no room" of the operating system into one error that names the remedy; other errors pass.

    :param folder: the state directory, for the message.
    :raises DiskFullError: instead of an `OSError` of a full disk, quota or file size limit.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise DiskFullError(
            f"Disk full while saving ({error}): {free_disk_gb(folder):.1f} GB free in {folder}; nothing was registered "
            "and the champion is unchanged: free space there, then start the training again with resume=true"
        ) from error
