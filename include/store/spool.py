"""Documents that wait on disk, fsynced, while MongoDB is away.

One file per document, so that a torn write or a full disk costs one document at most and replaying needs no
bookkeeping: a file is there until its document is stored.
"""

from __future__ import annotations

import errno
import os
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bson import json_util
from bson.errors import BSONError

from include.errors import BadInputError, IntegrityError, TransientError
from include.notify.scrub import excerpt
from include.store.documents import storable
from include.store.whole_file import sync, write_whole

SUFFIX = ".json"
OF_THIS_FILE = (errno.EACCES, errno.EISDIR, errno.EIO)
"""Errors at reading that concern one file; the others behind it are not held up."""
JSON_OPTIONS = json_util.JSONOptions(json_mode=json_util.JSONMode.CANONICAL, tz_aware=True, tzinfo=UTC)


@dataclass(frozen=True)
class SpooledDocument:
    """One waiting document and the collection it belongs into."""

    collection: str
    document: dict[str, Any]
    spooled_at: datetime


class Spool:
    """A folder of waiting documents, shared by the processes of a host.

    :param max_bytes: it takes no more documents once so much waits; None: as much as the disk takes.
    """

    _lock = threading.Lock()

    def __init__(self, folder: Path, max_bytes: int | None = None) -> None:
        self.folder = folder
        self.max_bytes = max_bytes

    def append(self, collection: str, document: Mapping[str, Any]) -> Path:
        """Write a document to disk and return its file once it is durable.

        :param document: has an `_id`, by which replaying stores it exactly once.
        :raises BadInputError: for a document without `_id`, or one that cannot be stored.
        :raises TransientError: when the folder is full, read-only or not a folder.
        """
        if not collection or document.get("_id") is None:
            raise BadInputError(f"a document for {collection or 'no collection'} cannot be spooled without an _id")
        spooled = {
            "collection": collection,
            "document": storable(document, scrubbing=False),
            "spooled_at": datetime.now(UTC),
        }
        content = json_util.dumps(spooled, json_options=JSON_OPTIONS).encode()
        with self._lock:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._refuse_beyond_limit(collection, len(content))
                path = self.folder / self._next_name()
                write_whole(path, content)
            except OSError as error:
                raise TransientError(
                    f"cannot spool a document of {collection} in {self.folder} ({error.strerror or error}); free space "
                    "there or correct its permissions, the document is not stored anywhere"
                ) from error
        return path

    def pending(self) -> list[Path]:
        """Return the files that wait, in the order in which they were appended."""
        try:
            return sorted(path for path in self.folder.iterdir() if path.suffix == SUFFIX)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise TransientError(
                f"cannot read the spool {self.folder} ({error.strerror}): check its permissions"
            ) from error

    def read(self, path: Path) -> SpooledDocument:
        """Return a waiting document with its types and aware UTC times.

        :raises IntegrityError: when the file is damaged, or the disk does not give it back; the message names it.
        :raises FileNotFoundError: when it is gone already.
        """
        try:
            spooled = json_util.loads(path.read_bytes().decode(), json_options=JSON_OPTIONS)
            document = SpooledDocument(spooled["collection"], spooled["document"], spooled["spooled_at"])
            if document.document["_id"] is None:
                raise KeyError("_id")
        except FileNotFoundError:
            raise
        except OSError as error:
            if error.errno in OF_THIS_FILE:
                raise IntegrityError(f"{path} cannot be read ({error.strerror}): look at it") from error
            raise TransientError(f"cannot read {path} ({error.strerror}): check its permissions") from error
        except (ValueError, KeyError, TypeError, AttributeError, BSONError) as error:
            raise IntegrityError(
                f"{path} is damaged ({type(error).__name__}: {excerpt(error, 100)}): move it out of the spool and look "
                "at it"
            ) from error
        return document

    def remove(self, path: Path) -> None:
        """Forget a document that is stored now; one that is gone already is no error.

        :raises TransientError: when the folder cannot be written to.
        """
        try:
            path.unlink(missing_ok=True)
            sync(self.folder)
        except OSError as error:
            raise TransientError(f"cannot remove {path} ({error.strerror}): check the folder's permissions") from error

    def set_aside(self, path: Path, subfolder: str) -> bool:
        """Move a file that cannot be used out of the way; return False when it is gone already.

        :raises TransientError: when the folder cannot be written to.
        """
        try:
            (self.folder / subfolder).mkdir(exist_ok=True)
            path.rename(self.folder / subfolder / path.name)
            sync(self.folder)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise TransientError(
                f"cannot move {path} to {subfolder} ({error.strerror}): check the folder's permissions"
            ) from error
        return True

    def _refuse_beyond_limit(self, collection: str, size: int) -> None:
        if self.max_bytes is None:
            return
        with os.scandir(self.folder) as entries:
            waiting = sum(_size(entry) for entry in entries if entry.name.endswith(SUFFIX))
        if waiting + size > self.max_bytes:
            raise TransientError(
                f"cannot spool a document of {collection}: {waiting:,} bytes wait in {self.folder}, {self.max_bytes:,} "
                "are allowed; bring MongoDB back, or raise TRADING_OPS_SPOOL_MAX_MB; it is not stored anywhere"
            )

    def _next_name(self) -> str:
        """Return a name that sorts after every waiting one, even when the clock was set back."""
        newest = max((path.name for path in self.folder.iterdir() if path.suffix == SUFFIX), default="0")
        try:
            last = int(newest.split("-")[0])
        except ValueError:
            last = 0
        return f"{max(time.time_ns(), last + 1):020d}-{uuid.uuid4().hex[:12]}{SUFFIX}"


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except FileNotFoundError:  # replayed meanwhile
        return 0
