"""Names what happened when MongoDB is away: a transient error that says what could not be done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pymongo.errors import BulkWriteError, ConnectionFailure, ExecutionTimeout, OperationFailure, WTimeoutError

from include.errors import ServiceUnavailableError
from include.notify.scrub import excerpt

OUT_OF_DISK_SPACE = 14031


@contextmanager
def mongo_outage(action: str) -> Iterator[None]:
    """Turn connection failures, time-outs and a full disk of MongoDB into one transient error.

    :param action: what is being done, for the message, for instance `storing the result of run x`.
    :raises ServiceUnavailableError: instead of pymongo's own errors of that kind; others pass.
    """
    try:
        yield
    except (ConnectionFailure, ExecutionTimeout, WTimeoutError) as error:
        raise ServiceUnavailableError(
            f"MongoDB is away or too slow while {action} ({type(error).__name__}: {excerpt(error)}); "
            "check the connection mongo_default, or try again later"
        ) from error
    except OperationFailure as error:
        if error.code == OUT_OF_DISK_SPACE or OUT_OF_DISK_SPACE in _codes(error):
            raise ServiceUnavailableError(f"MongoDB's disk is full while {action}: free space on its host") from error
        if isinstance(error, BulkWriteError) and error.details.get("writeConcernErrors"):
            raise ServiceUnavailableError(
                f"MongoDB did not confirm the writes while {action}: check its replica set, or try again later"
            ) from error
        raise


def _codes(error: OperationFailure) -> set[int]:
    """Return the codes of the single writes of a bulk."""
    failed = error.details.get("writeErrors", ()) if isinstance(error, BulkWriteError) else ()
    return {part.get("code") for part in failed}
