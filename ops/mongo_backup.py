"""Copies the bundle's whole database into a folder and back: documents byte for byte, GridFS and indexes included.

One gzipped file of BSON per collection (what `mongodump` writes, too) and `manifest.json`, which is written last: a
folder without it is no backup. On a replica set everything is of one moment; a single mongod cannot do that, and the
manifest says which it was.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from bson import decode_file_iter, json_util
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.errors import OperationFailure

from include.store.collections import META
from ops.backup_files import MANIFEST, BackupError, checksum, compare, read_manifest
from ops.files import write_text

if TYPE_CHECKING:
    from pymongo.collection import Collection
    from pymongo.database import Database

RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)
BATCH_BYTES = 8_000_000
TOO_OLD = (239, 246)
"""SnapshotTooOld, SnapshotUnavailable."""


@dataclass(frozen=True)
class Copied:
    """One collection: documents, SHA-256 of its file, options and indexes in MongoDB's extended JSON."""

    documents: int
    sha256: str
    options: str
    indexes: str


@dataclass(frozen=True)
class Manifest:
    """What a backup holds. `one_moment`: whether all of it was true at the same time."""

    made_at: str
    database: str
    one_moment: bool
    collections: dict[str, Copied]

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read the manifest of a backup.

        :raises BackupError: when there is none.
        """
        found = read_manifest(folder)
        collections = {name: Copied(**values) for name, values in found.pop("collections").items()}
        return cls(**found, collections=collections)


def dump(db: Database[dict[str, Any]], folder: Path) -> Manifest:
    """Copy the database into a new folder.

    :raises BackupError: when the folder is there already, or reading took so long that the moment is forgotten.
    :raises pymongo.errors.PyMongoError: when MongoDB is away; the folder has no manifest then.
    """
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise BackupError(f"{folder} exists: a backup never overwrites another") from None
    started = datetime.now(UTC)
    one_moment = "setName" in db.client.admin.command("hello")
    copied = {}
    with db.client.start_session(snapshot=True) if one_moment else nullcontext() as session:
        for description in sorted(db.list_collections(), key=lambda one: one["name"]):
            name = description["name"]
            if description.get("type") == "view" or name.startswith("system."):
                continue
            try:
                documents, digest = _write(db, name, folder, session)
            except OperationFailure as error:
                if error.code not in TOO_OLD:
                    raise
                raise BackupError(
                    f"MongoDB has forgotten the moment of this backup while {name} was read: raise its parameter "
                    "minSnapshotHistoryWindowInSeconds (300 by default)"
                ) from error
            indexes = [dict(index) for index in db[name].list_indexes() if index["name"] != "_id_"]
            options = description.get("options", {})
            copied[name] = Copied(documents, digest, json_util.dumps(options), json_util.dumps(indexes))
    manifest = Manifest(started.isoformat(), db.name, one_moment, copied)
    write_text(folder / MANIFEST, json.dumps(asdict(manifest), indent=1) + "\n")
    return manifest


def verify(folder: Path) -> Manifest:
    """Return the manifest after comparing every file with it.

    :raises BackupError: when a file is missing or differs.
    """
    manifest = Manifest.read(folder)
    for name, copied in manifest.collections.items():
        compare(_path(folder, name), copied.sha256)
    return manifest


def restore(db: Database[dict[str, Any]], folder: Path, *, replace: bool = False) -> Manifest:
    """Make the database what the backup says, after the backup has been verified.

    Nothing may write to the database meanwhile. A restore that breaks off is repeated with `replace`.

    :param replace: throw away what is in the database.
    :raises BackupError: for a broken backup, or a database that holds something, before anything is changed.
    """
    manifest = verify(folder)
    present = [name for name in db.list_collection_names() if not name.startswith("system.")]
    full = sorted(name for name in present if name != META and db[name].find_one({}, {"_id": 1}) is not None)
    if full and not replace:
        raise BackupError(f"the database {db.name} is not empty ({', '.join(full[:5])}): restore into an empty one")
    for name in present:
        db.drop_collection(name)
    for name, copied in manifest.collections.items():
        db.create_collection(name, **json_util.loads(copied.options))
        inserted = 0
        for batch in _batches(_path(folder, name)):
            _raw(db, name).insert_many(batch)
            inserted += len(batch)
        if inserted != copied.documents:
            raise BackupError(f"{name}: {inserted} documents restored, the backup has {copied.documents}")
        indexes = json_util.loads(copied.indexes)
        if indexes:
            db.command("createIndexes", name, indexes=[_index(index) for index in indexes])
    return manifest


def _write(db: Database[dict[str, Any]], name: str, folder: Path, session: Any) -> tuple[int, str]:
    path, documents = _path(folder, name), 0
    with gzip.open(path, "wb", compresslevel=5) as file:
        for document in _raw(db, name).find({}, session=session):
            file.write(document.raw)
            documents += 1
    return documents, checksum(path)


def _raw(db: Database[dict[str, Any]], name: str) -> Collection[Any]:
    return db.get_collection(name, codec_options=RAW)


def _path(folder: Path, collection: str) -> Path:
    return folder / f"{collection}.bson.gz"


def _batches(path: Path) -> Iterator[list[RawBSONDocument]]:
    batch: list[RawBSONDocument] = []
    size = 0
    with gzip.open(path, "rb") as file:
        for document in decode_file_iter(cast("BinaryIO", file), RAW):
            batch.append(document)
            size += len(document.raw)
            if size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


def _index(index: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in index.items() if name != "ns"}
