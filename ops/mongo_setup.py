"""Brings a MongoDB with authentication to what the bundle needs: a replica set, a user of its own, the indexes.

Every step looks first, so that all of it may be run again, also with another password.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from include.store.collections import ensure_indexes

NOT_YET_INITIALISED = 94
ALREADY_INITIALISED = 23
PRIMARY_TIMEOUT_S = 60.0
POLL_S = 0.2


class MongoSetupError(RuntimeError):
    """MongoDB did not become what the bundle needs."""


@dataclass(frozen=True)
class MongoPlan:
    """What is to be true afterwards.

    :param host: name and port under which every client reaches the one member, for instance `mongodb:27017`.
    :param user: who the bundle logs in as (kept in the database `admin`); may read and write `database`, nothing else.
    """

    host: str
    replica_set: str
    root_user: str
    root_password: str
    user: str
    password: str
    database: str


def set_up_mongo(plan: MongoPlan) -> None:
    """Carry out the plan.

    :raises MongoSetupError: when there is no primary within a minute.
    :raises pymongo.errors.PyMongoError: when MongoDB is not there, or the root password is wrong.
    """
    client: MongoClient[dict[str, Any]] = MongoClient(
        f"mongodb://{plan.host}", username=plan.root_user, password=plan.root_password,
        directConnection=True, serverSelectionTimeoutMS=10_000,
    )  # fmt: skip
    try:
        _initiate(client, plan)
        _await_primary(client, plan)
        _put_user(client, plan)
        ensure_indexes(client[plan.database])
    finally:
        client.close()


def _initiate(client: MongoClient[dict[str, Any]], plan: MongoPlan) -> None:
    try:
        client.admin.command("replSetGetStatus")
    except OperationFailure as error:
        if error.code != NOT_YET_INITIALISED:
            raise
        members = [{"_id": 0, "host": plan.host}]
        try:
            client.admin.command("replSetInitiate", {"_id": plan.replica_set, "members": members})
        except OperationFailure as again:
            if again.code != ALREADY_INITIALISED:
                raise


def _await_primary(client: MongoClient[dict[str, Any]], plan: MongoPlan) -> None:
    deadline = time.monotonic() + PRIMARY_TIMEOUT_S
    problem: object = "it is no primary"
    while time.monotonic() < deadline:
        try:
            if client.admin.command("hello").get("isWritablePrimary"):
                return
        except PyMongoError as error:
            problem = error
        time.sleep(POLL_S)
    raise MongoSetupError(
        f"{plan.host} did not become the primary of {plan.replica_set} in {PRIMARY_TIMEOUT_S:.0f} s ({problem}): "
        "look at rs.status(); a member must reach itself under the name it is given"
    )


def _put_user(client: MongoClient[dict[str, Any]], plan: MongoPlan) -> None:
    exists = bool(client.admin.command("usersInfo", plan.user)["users"])
    client.admin.command(
        "updateUser" if exists else "createUser",
        plan.user,
        pwd=plan.password,
        roles=[{"role": "readWrite", "db": plan.database}],
    )
