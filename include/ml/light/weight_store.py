"""Where the plain weights of the models live: one encrypted document per model, beside its Keras file.

The document's `_id` is the name of the model's file; `blob` is AES-256-GCM (`include.ml.encryption`), bound to that
name, of the arrays in their flat form (`flat.py`). The Keras file stays the model; these arrays are taken from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from pymongo.errors import DuplicateKeyError

from include.errors import IntegrityError, TransientError
from include.ml.encryption import decrypt, encrypt
from include.ml.light.flat import from_bytes, to_bytes
from include.ml.light.layout import Arrays
from include.ml.model_names import check_model_file_name
from include.store.collections import MODEL_WEIGHTS
from include.store.outage import mongo_outage

if TYPE_CHECKING:
    from pymongo.database import Database

RESTORE = f"restore the collection {MODEL_WEIGHTS} from a backup, roll back to an archived model, or train it again"
MAX_ROUNDS = 20


class WeightStore:
    """Saves and loads the weights that forecasts without TensorFlow read.

    :param key: 32 bytes, see :func:`include.ml.encryption.model_key`.
    """

    def __init__(self, db: Database[dict[str, Any]], key: bytes) -> None:
        self._weights = db[MODEL_WEIGHTS]
        self._key = key

    @mongo_outage("saving a model's weights")
    def save(self, name: str, arrays: Arrays) -> str:
        """Store the weights under the name of the model's file, and return the SHA-256 of the encrypted bytes.

        What was stored under that name is replaced: the file's own name is unique and guards it.
        """
        document, sha256 = self._document(name, arrays)
        self._weights.replace_one({"_id": name}, document, upsert=True)
        return sha256

    @mongo_outage("saving a model's weights")
    def save_once(self, name: str, arrays: Arrays) -> str:
        """Store the weights unless the same are there already; return the SHA-256 of what is stored.

        However many processes do so at once, all are told of the same bytes.
        """
        for _ in range(MAX_ROUNDS):
            document, sha256 = self._document(name, arrays)
            try:
                self._weights.insert_one(document)
                return sha256
            except DuplicateKeyError:
                stored = self._weights.find_one({"_id": name})
            if stored is None:
                continue
            if self._holds(stored, arrays):
                return str(stored["sha256"])
            # Left behind damaged or by other code; whoever replaces it first decides.
            if self._weights.replace_one({"_id": name, "sha256": stored["sha256"]}, document).matched_count:
                return sha256
        raise TransientError(f"The weights of {name} are being rewritten all the time; try again")

    @mongo_outage("loading the models' weights")
    def load_many(self, wanted: Mapping[str, str]) -> dict[str, dict[str, np.ndarray] | IntegrityError]:
        """Return the weights of every model file in `wanted` (name -> SHA-256), or why they cannot be used; one query.

        The arrays are read-only.
        """
        if not wanted:
            return {}
        result: dict[str, dict[str, np.ndarray] | IntegrityError] = {
            name: IntegrityError(f"The weights of {name} are missing from the database; {RESTORE}") for name in wanted
        }
        for document in self._weights.find({"_id": {"$in": list(wanted)}}, {"blob": 1}):
            name = document["_id"]
            try:
                result[name] = self._open(name, document.get("blob"), wanted[name])
            except IntegrityError as error:
                result[name] = error
        return result

    @mongo_outage("removing a model's weights")
    def remove(self, name: str) -> None:
        """Delete the weights; weights that are gone already are no error."""
        self._weights.delete_one({"_id": check_model_file_name(name)})

    @mongo_outage("counting the models' weights")
    def count(self) -> int:
        """Return the number of models whose weights are stored."""
        return self._weights.count_documents({})

    @mongo_outage("sweeping the models' weights")
    def sweep(self, referenced: Collection[str], before: datetime) -> list[str]:
        """Remove the weights stored before `before` whose name is not in `referenced`; return their names."""
        keep = set(referenced)
        old = [document["_id"] for document in self._weights.find({"stored_at": {"$lt": before}}, {"_id": 1})]
        lost = sorted(name for name in old if name not in keep)
        if lost:
            self._weights.delete_many({"_id": {"$in": lost}, "stored_at": {"$lt": before}})
        return lost

    def _document(self, name: str, arrays: Arrays) -> tuple[dict[str, Any], str]:
        blob = encrypt(to_bytes(arrays), self._key, _bound_to(check_model_file_name(name)))
        sha256 = hashlib.sha256(blob).hexdigest()
        return {"_id": name, "blob": blob, "sha256": sha256, "stored_at": datetime.now(UTC)}, sha256

    def _open(self, name: str, blob: object, sha256: str) -> dict[str, np.ndarray]:
        if not isinstance(blob, bytes):
            raise IntegrityError(f"The weights of {name} are no bytes in the database; {RESTORE}")
        found = hashlib.sha256(blob).hexdigest()
        if found != sha256:
            raise IntegrityError(
                f"The weights of {name} are corrupt in the database: SHA-256 {found[:12]}... instead of "
                f"{sha256[:12]}... ({len(blob)} bytes); {RESTORE}"
            )
        return from_bytes(decrypt(blob, self._key, _bound_to(name)), name)

    def _holds(self, document: Mapping[str, Any], arrays: Arrays) -> bool:
        try:
            stored = self._open(document["_id"], document.get("blob"), str(document.get("sha256")))
        except IntegrityError:
            return False
        return stored.keys() == arrays.keys() and all(
            np.array_equal(stored[name], arrays[name], equal_nan=True) for name in arrays
        )


def _bound_to(name: str) -> str:
    """Return what the encryption is bound to: weights put in the place of a model file do not open, nor the reverse."""
    return f"{name} (weights)"
