"""What the checks remember between two runs: in MongoDB and in a local file, because MongoDB may be the patient.

The file is always written, MongoDB whenever it is there; the newer of the two counts. So an outage of MongoDB is
remembered while it lasts, and merged by the first check after it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymongo
from pymongo.errors import PyMongoError

from include.errors import ServiceUnavailableError
from include.health.alerting import Problem
from include.ml.atomic_write import write_atomically
from include.store.collections import HEALTH_STATE
from include.store.outage import mongo_outage

if TYPE_CHECKING:
    from pymongo.database import Database

log = logging.getLogger(__name__)

FILE_NAME = "health_state.json"
DOCUMENT_ID = "health"
TIMEOUT_S = 3.0
"""One that answered its ping may hang a moment later; the driver alone would wait for as long as it hangs."""
Stored = dict[str, Any]


class HealthMemory:
    """The remembered problems of this deployment.

    :param state_dir: where the local file is.
    :param db: None while MongoDB is known to be away.
    """

    def __init__(self, state_dir: Path, db: Database[dict[str, Any]] | None) -> None:
        self._file = state_dir / FILE_NAME
        self._db = db

    def load(self) -> dict[str, Problem]:
        """Return the problems by subject, of the newer of the two copies; empty when there is none that can be read."""
        copies = [copy for copy in (self._from_file(), self._from_mongo()) if copy is not None]
        if not copies:
            return {}
        _, problems = max(copies, key=lambda copy: copy[0])
        return {problem.subject: problem for problem in problems}

    def save(self, problems: Mapping[str, Problem], now: datetime) -> list[str]:
        """Write both copies; return where they could be written: `file`, `mongodb`, or neither."""
        content = {"updated_at": now.isoformat(), "problems": [problem.to_dict() for problem in problems.values()]}
        written = []
        try:
            write_atomically(self._file, json.dumps(content, ensure_ascii=False).encode())
            written.append("file")
        except OSError as error:
            log.warning("the state of the alerts cannot be written to %s: %s", self._file, error)
        if self._db is not None:
            try:
                with mongo_outage("storing the state of the alerts"), pymongo.timeout(TIMEOUT_S):
                    self._db[HEALTH_STATE].replace_one({"_id": DOCUMENT_ID}, content, upsert=True)
                written.append("mongodb")
            except (ServiceUnavailableError, PyMongoError) as error:
                log.warning("the state of the alerts cannot be written to MongoDB: %s", error)
        return written

    def _from_file(self) -> tuple[datetime, list[Problem]] | None:
        try:
            return _read(json.loads(self._file.read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s cannot be read and counts as absent: %s", self._file, error)
            return None

    def _from_mongo(self) -> tuple[datetime, list[Problem]] | None:
        if self._db is None:
            return None
        try:
            with mongo_outage("reading the state of the alerts"), pymongo.timeout(TIMEOUT_S):
                stored = self._db[HEALTH_STATE].find_one({"_id": DOCUMENT_ID})
            return _read(stored) if stored is not None else None
        except (ServiceUnavailableError, PyMongoError, ValueError, KeyError, TypeError) as error:
            log.warning("the state of the alerts cannot be read from MongoDB and counts as absent: %s", error)
            return None


def _read(stored: Stored) -> tuple[datetime, list[Problem]]:
    updated_at = datetime.fromisoformat(stored["updated_at"])
    return updated_at.astimezone(UTC), [Problem.from_dict(problem) for problem in stored["problems"]]
