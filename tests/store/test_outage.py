"""Outages of MongoDB become one transient error; other errors pass as they are."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo.database import Database
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ExecutionTimeout,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    ServerSelectionTimeoutError,
    WTimeoutError,
)

from include.errors import ServiceUnavailableError
from include.store.outage import mongo_outage


@pytest.mark.parametrize(
    "error",
    [
        AutoReconnect("gone"), NetworkTimeout("slow"), NotPrimaryError("election"), ServerSelectionTimeoutError("none"),
        ExecutionTimeout("slow"), WTimeoutError("slow"), OperationFailure("no space", 14031),
        BulkWriteError({"writeErrors": [], "writeConcernErrors": [{"code": 64, "errmsg": "waiting timed out"}]}),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_outage_is_transient_and_names_the_action(error: Exception) -> None:
    with pytest.raises(ServiceUnavailableError, match="while counting beans") as caught, mongo_outage("counting beans"):
        raise error
    assert caught.value.__cause__ is error


def test_a_refused_command_is_no_outage(db: Database[dict[str, Any]]) -> None:
    with pytest.raises(OperationFailure), mongo_outage("asking nonsense"):
        db.command("noSuchCommand")
