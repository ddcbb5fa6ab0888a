"""Checkpoints of one training in a folder that all workers share."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from include.errors import IntegrityError
from include.ml.atomic_write import write_atomically
from include.ml.checkpoint_file import Checkpoint, pack, unpack

logger = logging.getLogger(__name__)

KEEP_EVERY = 10
ROLLING = 2
"""Newest checkpoints kept beside every tenth: the current one, and the one before should it be damaged."""

KEPT = timedelta(days=14)
"""How long a checkpoint waits for somebody to resume its training."""

Guard = Callable[[], None]


def checkpoint_name(model_type: str, symbol: str, timeframe: str, run_id: str) -> str:
    """Return the name of a run's checkpoints; characters unfit for a file are replaced, the name stays unique."""
    name = "_".join((model_type, symbol, timeframe, run_id))
    safe = re.sub(r"[^A-Za-z0-9.+-]", "_", name)
    return safe if safe == name else f"{safe}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


class CheckpointStore:
    """Saves, finds and removes the checkpoints `<name>_epoch_<n>.ckpt` of one training.

    After epoch 53 the folder holds 10, 20, 30, 40, 50 and the two newest, 52 and 53. A file appears whole or
    not at all.

    :param name: see :func:`checkpoint_name`; letters, digits and `. _ + -`.
    :param guard: called before anything is written or removed; raises `FencedError` when a newer try of the
        same run has taken over.
    """

    def __init__(self, folder: Path, name: str, guard: Guard | None = None) -> None:
        """Name the place; nothing is created yet."""
        if not re.fullmatch(r"[A-Za-z0-9._+-]+", name):
            raise ValueError(f"Checkpoint name {name!r} holds characters unfit for a file; use checkpoint_name()")
        self._folder, self._name, self._guard = folder, name, guard

    def path(self, epoch: int) -> Path:
        """Return where the checkpoint of `epoch` finished epochs lies."""
        return self._folder / f"{self._name}_epoch_{epoch:04d}.ckpt"

    def epochs(self) -> list[int]:
        """Return the epochs of which a file exists, ascending."""
        pattern = re.compile(rf"{re.escape(self._name)}_epoch_(\d{{4,}})\.ckpt")
        matches = (pattern.fullmatch(path.name) for path in self._files())
        return sorted(int(match.group(1)) for match in matches if match)

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write the checkpoint and drop the rolling ones that it replaces.

        :raises FencedError: by the guard; nothing is written then.
        :raises OSError: for instance on a full disk; the former checkpoints stay.
        """
        data = pack(checkpoint)
        self._check_guard()
        path = self.path(checkpoint.epoch)
        write_atomically(path, data)
        for epoch in self.epochs()[:-ROLLING]:
            if epoch % KEEP_EVERY:
                self.path(epoch).unlink(missing_ok=True)
        return path

    def load(self, epoch: int) -> Checkpoint:
        """Return the checkpoint of `epoch`.

        :raises IntegrityError: when it is truncated, changed or not of that epoch.
        """
        path = self.path(epoch)
        checkpoint = unpack(path.read_bytes(), path.name)
        if checkpoint.epoch != epoch:
            raise IntegrityError(f"Checkpoint {path.name} holds epoch {checkpoint.epoch}; delete it")
        return checkpoint

    def load_latest(self) -> Checkpoint | None:
        """Return the newest checkpoint that can be believed, or None; damaged ones are skipped with a warning."""
        for epoch in reversed(self.epochs()):
            try:
                return self.load(epoch)
            except IntegrityError as error:
                logger.warning("%s; the one before is used", error)
            except FileNotFoundError:
                logger.warning("Checkpoint %s vanished while it was to be read", self.path(epoch).name)
        return None

    def take_over(self, other: CheckpointStore) -> None:
        """Rename the checkpoints of another training to this one's; afterwards the other has none.

        Interrupted half-way it may be called again: each file belongs to one of the two at any moment.
        """
        self._check_guard()
        for epoch in other.epochs():
            other.path(epoch).replace(self.path(epoch))

    def remove(self) -> None:
        """Delete all checkpoints of this training, remains of interrupted writes included."""
        self._check_guard()
        for path in self._files():
            if path.name.startswith((f"{self._name}_epoch_", f".{self._name}_epoch_")):
                path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return list(self._folder.iterdir()) if self._folder.is_dir() else []

    def _check_guard(self) -> None:
        if self._guard is not None:
            self._guard()


def sweep_checkpoints(folder: Path, now: datetime, kept: timedelta = KEPT, *, dry_run: bool = False) -> list[str]:
    """Remove the checkpoints that nobody has written to or resumed for a while, and return their names.

    :param folder: of all trainings' checkpoints; it need not exist.
    :param now: aware; compared with the time of each file's last change.
    :param kept: how long a checkpoint waits; far longer than any training runs.
    :param dry_run: only return the names.
    """
    removed = []
    for path in sorted(folder.glob("*.ckpt*")):
        with suppress(FileNotFoundError):  # its training has ended in this very moment
            if path.is_file() and path.stat().st_mtime < (now - kept).timestamp():
                if not dry_run:
                    path.unlink()
                removed.append(path.name)
    return removed
