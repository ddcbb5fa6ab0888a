"""An optimisation's memory on MongoDB: what is finished survives the process, the worker and the host."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pymongo import ReplaceOne

from include.store.collections import OPTIMIZATION_VARIATIONS
from include.store.documents import storable
from include.store.outage import mongo_outage

if TYPE_CHECKING:
    from pymongo.database import Database

LIBRARIES = ("numpy", "scipy", "backtesting")


class MongoMemory:
    """The finished variations of one run, by segment; see :class:`~include.strategies.optimise.memory.VariationMemory`.

    Segments are named with a fingerprint of candles and terms, and what another version of the code has computed is
    not known here: nothing stale is reused. All methods raise :class:`~include.errors.ServiceUnavailableError` while
    MongoDB is away.
    """

    def __init__(self, db: Database[dict[str, Any]], run_id: str) -> None:
        self._variations = db[OPTIMIZATION_VARIATIONS]
        self._run_id = run_id

    def known(self, segment: str) -> dict[str, dict[str, Any]]:
        """Return the finished variations of a segment, by their keys."""
        query = {"run_id": self._run_id, "segment": segment, "code": code_hash()}
        with mongo_outage(f"looking up the finished variations of run {self._run_id}"):
            return {found["variation"]["key"]: found["variation"] for found in self._variations.find(query)}

    def keep(self, segment: str, variations: Sequence[Mapping[str, Any]]) -> None:
        """Add finished variations; one that is there already is replaced by itself."""
        if not variations:
            return
        at, code = datetime.now(UTC), code_hash()
        writes = []
        for variation in variations:
            key = f"{self._run_id}/{segment}/{variation['key']}"
            document = {
                "run_id": self._run_id,
                "segment": segment,
                "code": code,
                "at": at,
                "variation": storable(variation),
            }
            writes.append(ReplaceOne({"_id": key}, document, upsert=True))
        with mongo_outage(f"keeping finished variations of run {self._run_id}"):
            self._variations.bulk_write(writes, ordered=False)

    def forget(self) -> int:
        """Remove everything of the run, once its result is kept; return how many variations."""
        with mongo_outage(f"removing the variations of run {self._run_id}"):
            return self._variations.delete_many({"run_id": self._run_id}).deleted_count


@lru_cache(maxsize=1)
def code_hash() -> str:
    """Return a hash of the code that computes a variation: strategies, market, and the libraries' versions."""
    include = Path(__file__).resolve().parents[2]
    digest = hashlib.sha256("\0".join(f"{name} {version(name)}" for name in LIBRARIES).encode())
    for path in sorted(path for folder in ("strategies", "market") for path in (include / folder).rglob("*.py")):
        digest.update(f"{path.relative_to(include)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
