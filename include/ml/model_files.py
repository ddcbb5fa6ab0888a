"""Where model files live: encrypted in GridFS, with a verified copy on each host that uses them.

GridFS in the bundle's own database is the durable home: every worker on every host reads it and one
backup covers it. The local cache holds the same encrypted bytes; a copy that does not match its SHA-256
is replaced from GridFS without a word to anyone, a GridFS copy that does not match is an error.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bson import ObjectId
from gridfs import GridFSBucket
from gridfs.errors import CorruptGridFile, FileExists, NoFile
from pymongo.errors import PyMongoError

from include.errors import IntegrityError, TradingOpsError
from include.ml.atomic_write import write_atomically
from include.ml.encryption import decrypt, encrypt
from include.ml.model_names import ENCRYPTED_SUFFIX, check_model_file_name, model_file_name, next_second
from include.store.collections import MODEL_FILES_BUCKET
from include.store.outage import mongo_outage

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pymongo.database import Database

MAX_NAME_ATTEMPTS = 60
RESTORE = "restore the database from a backup, roll back to an archived model, or train the model again"


class ModelFileExistsError(TradingOpsError):
    """Another model was stored under the same name."""


@dataclass(frozen=True)
class StoredFile:
    """A stored model file; `sha256` and `size_bytes` are those of the encrypted bytes."""

    name: str
    sha256: str
    size_bytes: int
    file_id: str

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-able form that registry documents carry."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> StoredFile:
        """Return the file that :meth:`to_dict` described."""
        return cls(str(values["name"]), str(values["sha256"]), int(values["size_bytes"]), str(values["file_id"]))


class ModelFileStore:
    """Saves and loads encrypted model files.

    :param db: the bundle's database (its GridFS bucket `model_files`).
    :param key: 32 bytes, see :func:`include.ml.encryption.model_key`.
    :param cache_dir: folder of this host for the verified, still encrypted copies; made when missing.
    """

    def __init__(self, db: Database[dict[str, Any]], key: bytes, cache_dir: Path) -> None:
        self._bucket = GridFSBucket(db, bucket_name=MODEL_FILES_BUCKET)
        self._files = db[f"{MODEL_FILES_BUCKET}.files"]
        self._chunks = db[f"{MODEL_FILES_BUCKET}.chunks"]
        self._key = key
        self._cache_dir = cache_dir

    @mongo_outage("saving a model file")
    def save(self, name: str, data: bytes) -> StoredFile:
        """Encrypt `data` and store it under `name`, in GridFS first and then in the local cache.

        :raises ModelFileExistsError: when the name is taken (a unique index of GridFS decides).
        :raises OSError: when the cache cannot be written; nothing stays behind in GridFS then.
        """
        check_model_file_name(name)
        blob = encrypt(data, self._key, name)
        digest = hashlib.sha256(blob).hexdigest()
        file_id = self._upload(name, blob, digest)
        try:
            write_atomically(self._cache_path(name), blob)
        except OSError:
            self._bucket.delete(file_id)
            raise
        return StoredFile(name, digest, len(blob), str(file_id))

    def save_model(self, model_type: str, symbol: str, timeframe: str, data: bytes, at: datetime) -> StoredFile:
        """Store a model's bytes under the name of the second `at`, or of the next second that is free."""
        for _ in range(MAX_NAME_ATTEMPTS):
            with suppress(ModelFileExistsError):
                return self.save(model_file_name(model_type, symbol, timeframe, at), data)
            at = next_second(at)
        raise ModelFileExistsError(
            f"{MAX_NAME_ATTEMPTS} names of {model_type} {symbol} {timeframe} model files up to {at:%Y%m%d_%H%M%S} "
            "are taken: check the clock of this host"
        )

    def load(self, name: str, sha256: str) -> bytes:
        """Return the decrypted contents, from the local cache when its copy is intact.

        :raises IntegrityError: when the stored file is missing, does not match `sha256` or does not open.
        """
        return decrypt(self._verified(name, sha256), self._key, name)

    @mongo_outage("loading a model file")
    def load_stored(self, name: str, sha256: str) -> bytes:
        """Return the decrypted contents of the copy in GridFS, whatever the cache holds.

        :raises IntegrityError: as :meth:`load`.
        """
        return decrypt(self._download(check_model_file_name(name), sha256), self._key, name)

    def path(self, name: str, sha256: str) -> Path:
        """Return the local, encrypted file after making sure that it matches `sha256`.

        :raises IntegrityError: when the stored file is missing or does not match.
        """
        self._verified(name, sha256)
        return self._cache_path(name)

    @mongo_outage("removing a model file")
    def remove(self, name: str) -> None:
        """Delete the file from GridFS and from this host's cache; one that is gone already is no error."""
        check_model_file_name(name)
        for stored in self._files.find({"filename": name + ENCRYPTED_SUFFIX}, {"_id": 1}):
            with suppress(NoFile):
                self._bucket.delete(stored["_id"])
        self._cache_path(name).unlink(missing_ok=True)

    @mongo_outage("counting model files")
    def count(self) -> int:
        """Return the number of stored files."""
        return self._files.count_documents({})

    @mongo_outage("sweeping model files")
    def sweep(self, referenced: Collection[str], before: datetime) -> list[str]:
        """Remove what killed runs left behind, and return the names of the files removed.

        Removed are files stored before `before` that no name in `referenced` stands for, and chunks of
        uploads begun before it that were never completed.
        """
        keep = {name + ENCRYPTED_SUFFIX for name in referenced}
        removed = []
        for stored in self._files.find({"uploadDate": {"$lt": before}}, {"filename": 1}):
            if stored["filename"] not in keep:
                self.remove(stored["filename"].removesuffix(ENCRYPTED_SUFFIX))
                removed.append(stored["filename"].removesuffix(ENCRYPTED_SUFFIX))
        begun = {"files_id": {"$lt": ObjectId.from_datetime(before)}}
        orphans = set(self._chunks.distinct("files_id", begun)) - set(self._files.distinct("_id"))
        if orphans:
            self._chunks.delete_many({"files_id": {"$in": list(orphans)}})
        return removed

    def _cache_path(self, name: str) -> Path:
        return self._cache_dir / (name + ENCRYPTED_SUFFIX)

    @mongo_outage("loading a model file")
    def _verified(self, name: str, sha256: str) -> bytes:
        path = self._cache_path(check_model_file_name(name))
        with suppress(OSError):
            blob = path.read_bytes()
            if hashlib.sha256(blob).hexdigest() == sha256:
                return blob
        blob = self._download(name, sha256)
        write_atomically(path, blob)
        return blob

    def _upload(self, name: str, blob: bytes, digest: str) -> ObjectId:
        filename = name + ENCRYPTED_SUFFIX
        upload = self._bucket.open_upload_stream(filename, metadata={"sha256": digest})
        try:
            upload.write(blob)
            upload.close()
        except FileExists:
            upload.abort()
            raise ModelFileExistsError(f"Model file {name} exists already; use another name") from None
        except BaseException:
            with suppress(PyMongoError):
                upload.abort()
            raise
        return ObjectId(upload._id)

    def _download(self, name: str, sha256: str) -> bytes:
        try:
            with self._bucket.open_download_stream_by_name(name + ENCRYPTED_SUFFIX) as stream:
                blob: bytes = stream.read()
        except NoFile:
            raise IntegrityError(f"Model file {name} is missing from the database; {RESTORE}") from None
        except CorruptGridFile as error:
            raise IntegrityError(f"Model file {name} is incomplete in the database ({error}); {RESTORE}") from error
        found = hashlib.sha256(blob).hexdigest()
        if found != sha256:
            raise IntegrityError(
                f"Model file {name} is corrupt in the database: SHA-256 {found[:12]}... instead of {sha256[:12]}... "
                f"({len(blob)} bytes); {RESTORE}"
            )
        return blob
