"""Local notes of what a channel has accepted, so that a message is not sent again when MongoDB could not note it.

MongoDB may be away, or die, between a channel's acceptance and its recording. The note is made at once, on the
disk that the workers share, and asked before every sending.
"""

from __future__ import annotations

import hashlib
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from include.notify.attempt import Sender
    from include.notify.message import Message

log = logging.getLogger(__name__)

KEPT_S = 7 * 86_400.0
"""By then the outbox has been recorded, or the message has expired."""


class Receipts:
    """A folder of empty files, one for each message and channel.

    A folder that cannot be written to costs the protection, never a delivery: that is logged.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, dedupe_key: str, channel: str) -> None:
        """Note that the channel has accepted the message."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._path(dedupe_key, channel).touch()
        except OSError as error:
            log.warning("no receipt of a message to %s could be kept in %s: %s", channel, self._folder, error.strerror)

    def has(self, dedupe_key: str, channel: str) -> bool:
        """Return whether the channel has accepted the message, as far as this host knows."""
        try:
            return self._path(dedupe_key, channel).exists()
        except OSError:
            return False

    def prune(self, older_than_s: float = KEPT_S) -> int:
        """Remove the notes older than that and return how many they were."""
        removed = 0
        try:
            for path in self._folder.iterdir():
                if path.stat().st_mtime < time.time() - older_than_s:
                    path.unlink(missing_ok=True)
                    removed += 1
        except FileNotFoundError:
            return removed
        except OSError as error:
            log.warning("old receipts in %s could not be removed: %s", self._folder, error.strerror)
        return removed

    def _path(self, dedupe_key: str, channel: str) -> Path:
        return self._folder / f"{channel}-{hashlib.sha256(dedupe_key.encode()).hexdigest()[:40]}"


def with_receipt(sender: Sender, receipts: Receipts | None, channel: str) -> Sender:
    """Return a sender that notes what the channel has accepted as soon as it has, also when nobody waits any more."""

    def send(message: Message) -> object:
        remark = sender(message)
        if receipts is not None:
            receipts.keep(message.dedupe_key, channel)
        return remark

    return send
