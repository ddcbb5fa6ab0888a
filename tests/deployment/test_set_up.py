"""The set-up of the distributed mode against real servers, twice: what it makes, and what it leaves alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pymongo
import pytest
from pymongo.errors import OperationFailure

from include.errors import ConfigurationError
from include.settings import Settings
from include.store.collections import CHAMPIONS, INDEXES, LEASES
from ops import compose
from ops.broker_setup import BrokerSetupError, import_definitions
from ops.distributed_setup import airflow_plan, connections_of, distributed_pools, mongo_plan
from ops.mongo_setup import MongoPlan, set_up_mongo
from sandbox.mongod import free_port


def login(plan: MongoPlan, password: str) -> pymongo.MongoClient[dict[str, Any]]:
    return pymongo.MongoClient(
        f"mongodb://{plan.host}", username=plan.user, password=password, authSource="admin",
        replicaSet=plan.replica_set, serverSelectionTimeoutMS=5000,
    )  # fmt: skip


def test_a_new_mongod_becomes_what_the_bundle_needs_and_a_second_time_changes_nothing(plan: MongoPlan) -> None:
    set_up_mongo(plan)
    with login(plan, "word") as client:
        db = client[plan.database]
        db[LEASES].insert_one({"_id": "kept"})
        assert {index["name"] for index in db[LEASES].list_indexes()} >= {"owner_run"}
        assert set(INDEXES) <= set(db.list_collection_names())
    set_up_mongo(plan)
    with login(plan, "word") as client:
        assert client[plan.database][LEASES].find_one() == {"_id": "kept"}
        status = client.admin.command("hello")
        assert (status["setName"], status["isWritablePrimary"]) == ("trading_ops", True)


def test_the_bundles_user_reaches_its_own_database_and_no_other(plan: MongoPlan) -> None:
    set_up_mongo(plan)
    with login(plan, "word") as client:
        client[plan.database][CHAMPIONS].delete_many({})
        with pytest.raises(OperationFailure, match="not authorized"):
            client["another"]["anything"].insert_one({})
        with pytest.raises(OperationFailure, match="not authorized"):
            client.admin.command("usersInfo")
    with (
        pymongo.MongoClient[dict[str, Any]](f"mongodb://{plan.host}", directConnection=True) as nobody,
        pytest.raises(OperationFailure, match="requires authentication"),
    ):
        nobody[plan.database][CHAMPIONS].find_one()


def test_a_new_password_replaces_the_old_one(plan: MongoPlan) -> None:
    set_up_mongo(plan)
    changed = MongoPlan(**{**vars(plan), "password": "another"})
    set_up_mongo(changed)
    with login(plan, "word") as client, pytest.raises(OperationFailure, match="Authentication failed"):
        client[plan.database][CHAMPIONS].find_one()
    with login(plan, "another") as client:
        client[plan.database][CHAMPIONS].find_one()


# --- from the environment of the Compose service


def init_environment(environment: dict[str, str]) -> dict[str, str]:
    definition = compose.services()["airflow-init"]["environment"]
    return {
        name: compose.filled(str(value), environment) if value is not None else environment.get(name, "")
        for name, value in definition.items()
        if value is not None or name in environment
    }


def test_the_compose_service_gives_the_set_up_everything_it_needs(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = init_environment(environment | {"AIRFLOW_CONN_SLACK_DEFAULT": '{"conn_type": "slackwebhook"}'})
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    mongo = mongo_plan(given, settings)
    assert (mongo.host, mongo.replica_set, mongo.user) == ("mongodb:27017", "trading_ops", "trading_ops")
    assert mongo.password == environment["MONGO_PASSWORD"]
    assert mongo.root_password == environment["MONGO_ROOT_PASSWORD"]
    assert f"--replSet {mongo.replica_set}" in " ".join(compose.services()["mongodb"]["command"])
    airflow = airflow_plan(given, settings)
    assert airflow["admin"] == {"name": "admin", "password": environment["TRADING_OPS_ADMIN_PASSWORD"]}
    assert set(airflow["connections"]) == {"mongo_default", "slack_default"}
    assert "database" not in airflow, "that is for a file of SQLite"


def test_connections_may_be_json_or_addresses_and_empty_ones_do_not_count() -> None:
    given = {"AIRFLOW_CONN_A_B": '{"conn_type": "smtp"}', "AIRFLOW_CONN_C": "smtp://h", "AIRFLOW_CONN_D": " ", "X": "y"}
    assert connections_of(given) == {"a_b": {"conn_type": "smtp"}, "c": "smtp://h"}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"AIRFLOW_CONN_MONGO_DEFAULT": "mongodb://h/"},
        {"AIRFLOW_CONN_MONGO_DEFAULT": '{"host": "h", "port": 1, "login": "l", "password": "p", "extra": {}}'},
    ],
    ids=["nothing", "an address", "no replica set"],
)
def test_half_a_connection_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="AIRFLOW_CONN_MONGO_DEFAULT"):
        mongo_plan({"MONGO_ROOT_PASSWORD": "r", **given}, Settings())


def test_an_admin_without_a_password_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="TRADING_OPS_ADMIN_PASSWORD"):
        airflow_plan({}, Settings())


def test_the_pools_follow_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADING_OPS_MAX_CONCURRENT_TRAININGS", "5")
    monkeypatch.setenv("TRADING_OPS_GPU_COUNT", "3")
    pools = distributed_pools(Settings())
    assert (pools["cpu_training"]["slots"], pools["gpu"]["slots"]) == (5, 3)


# --- RabbitMQ


def test_a_broker_that_is_not_there_is_named_without_its_password() -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(BrokerSetupError, match=address) as caught:
        import_definitions(f"http://user:hunter2@{address}")
    assert "hunter2" not in str(caught.value)


def test_the_definitions_hold_no_user_and_fit_the_topology() -> None:
    definitions = json.loads((Path(compose.REPOSITORY) / "config/rabbitmq/definitions.json").read_text())
    assert not {"users", "permissions", "parameters"} & set(definitions)
    vhost = compose.services()["rabbitmq"]["environment"]["RABBITMQ_DEFAULT_VHOST"]
    assert {policy["vhost"] for policy in definitions["policies"]} == {vhost}
