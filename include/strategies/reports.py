"""The pages and tables that belong to a result: kept in GridFS, one of each name per run.

A retry of the task overwrites; an older try that still lives cannot. What is kept is compressed: a report has the
plotting library's code in it.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bson import ObjectId
from gridfs import GridFSBucket
from gridfs.errors import CorruptGridFile, NoFile
from pymongo import DESCENDING

from include.errors import BadInputError, FencedError, IntegrityError
from include.store.collections import STRATEGY_REPORTS_BUCKET
from include.store.outage import mongo_outage

if TYPE_CHECKING:
    from pymongo.database import Database

HTML = "text/html; charset=utf-8"
CSV = "text/csv; charset=utf-8"

_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}(\.csv)?")
COMPRESSION = 6
REMEDY = "clear the task, so that it makes the page again"
NEWEST_FIRST = [("metadata.try_number", DESCENDING), ("uploadDate", DESCENDING)]


@dataclass(frozen=True)
class Report:
    """A stored page or table.

    :param content: gzip-compressed.
    :param sha256: of the uncompressed bytes.
    """

    name: str
    content_type: str
    content: bytes
    sha256: str

    def plain(self) -> bytes:
        """Return the uncompressed bytes.

        :raises IntegrityError: when they are not what was stored.
        """
        try:
            plain = gzip.decompress(self.content)
        except (OSError, EOFError) as error:
            raise IntegrityError(
                f"The stored page {self.name} cannot be unpacked ({error}); run the task again"
            ) from error
        if hashlib.sha256(plain).hexdigest() != self.sha256:
            raise IntegrityError(f"The stored page {self.name} does not match its SHA-256; {REMEDY}")
        return plain


class ReportStore:
    """Pages by DAG, run and name, in the bundle's database.

    All methods raise :class:`~include.errors.ServiceUnavailableError` while MongoDB is away.
    """

    def __init__(self, db: Database[dict[str, Any]]) -> None:
        self._bucket = GridFSBucket(db, bucket_name=STRATEGY_REPORTS_BUCKET)
        self._files = db[f"{STRATEGY_REPORTS_BUCKET}.files"]
        self._chunks = db[f"{STRATEGY_REPORTS_BUCKET}.chunks"]

    def save(self, dag_id: str, run_id: str, name: str, text: str, try_number: int) -> int:
        """Store a page or table in the place of what older tries have stored; return its size in bytes.

        :param name: letters, digits and underscores, of which the address is made; `.csv` at its end says that it is
            a table, else it is an HTML page.
        :raises FencedError: when a newer try has stored one already.
        :raises BadInputError: for a name that is none.
        """
        if not _NAME.fullmatch(name):
            raise BadInputError(f"{name!r} cannot be the name of a page: use a-z, 0-9 and _, and .csv for a table")
        filename, plain = _filename(dag_id, run_id, name), text.encode()
        metadata = {
            "dag_id": dag_id,
            "run_id": run_id,
            "name": name,
            "try_number": try_number,
            "content_type": CSV if name.endswith(".csv") else HTML,
            "sha256": hashlib.sha256(plain).hexdigest(),
            "bytes": len(plain),
        }
        with mongo_outage(f"storing the page {name} of run {run_id}"):
            newest = self._files.find_one({"filename": filename}, {"metadata.try_number": 1}, sort=NEWEST_FIRST)
            if newest is not None and newest["metadata"]["try_number"] > try_number:
                raise FencedError(
                    f"try {newest['metadata']['try_number']} of run {run_id} has stored the page {name}: "
                    f"try {try_number} must not write any more"
                )
            # Whoever reads meanwhile gets a whole page: the old one, or the new one of the highest try.
            new = self._bucket.upload_from_stream(
                filename, gzip.compress(plain, COMPRESSION, mtime=0), metadata=metadata
            )
            older = {"filename": filename, "metadata.try_number": {"$lte": try_number}, "_id": {"$ne": new}}
            self._delete(older)
        return len(plain)

    def load(self, dag_id: str, run_id: str, name: str) -> Report | None:
        """Return a page, or None where there is none (yet, or any more).

        :raises IntegrityError: when a part of it is missing.
        """
        filename = _filename(dag_id, run_id, name)
        with mongo_outage(f"loading the page {name} of run {run_id}"):
            stored = self._files.find_one({"filename": filename}, sort=NEWEST_FIRST)
            if stored is None:
                return None
            try:
                content = self._bucket.open_download_stream(stored["_id"]).read()
            except NoFile:
                return None  # overwritten or swept just now
            except CorruptGridFile as error:
                raise IntegrityError(
                    f"The page {name} of run {run_id} is incomplete in the database ({error}); {REMEDY}"
                ) from error
        metadata = stored["metadata"]
        return Report(name, metadata["content_type"], content, metadata["sha256"])

    def names(self, dag_id: str, run_id: str) -> list[str]:
        """Return the names of a run's pages, in alphabetical order."""
        of_run = {"metadata.dag_id": dag_id, "metadata.run_id": run_id}
        with mongo_outage(f"listing the pages of run {run_id}"):
            return sorted(self._files.distinct("metadata.name", of_run))

    def sweep(self, before: datetime, *, dry_run: bool = False) -> int:
        """Remove the pages stored before that time, and parts that killed uploads left; return how many pages."""
        old = {"uploadDate": {"$lt": before}}
        with mongo_outage("sweeping the pages of strategy runs"):
            if dry_run:
                return self._files.count_documents(old)
            removed = self._delete(old)
            begun = {"files_id": {"$lt": ObjectId.from_datetime(before)}}
            orphans = set(self._chunks.distinct("files_id", begun)) - set(self._files.distinct("_id"))
            if orphans:
                self._chunks.delete_many({"files_id": {"$in": list(orphans)}})
        return removed

    def _delete(self, query: dict[str, Any]) -> int:
        removed = 0
        for stored in self._files.find(query, {"_id": 1}):
            with suppress(NoFile):
                self._bucket.delete(stored["_id"])
                removed += 1
        return removed


def _filename(dag_id: str, run_id: str, name: str) -> str:
    return f"{dag_id}/{run_id}/{name}"
