"""The set-up of the distributed mode: MongoDB, RabbitMQ, Airflow's database. Safe to run again at any time.

    python -m ops.distributed_setup

Reads the environment of a Compose service, so no secret is an argument. Everything is checked before anything is
changed.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from include.errors import ConfigurationError
from include.settings import Settings
from ops.airflow_setup import set_up
from ops.broker_setup import import_definitions
from ops.environment import ADMIN_NAME, CONNECTION_PREFIX, MONGO_VARIABLE
from ops.mongo_setup import MongoPlan, set_up_mongo
from ops.run_dir import REPOSITORY
from ops.secret_values import ADMIN_PASSWORD
from ops.sizing import POOLS_FILE

ROLES_FILE = REPOSITORY / "config" / "roles.json"
RABBITMQ_FILE = REPOSITORY / "config" / "rabbitmq" / "rabbitmq.conf"
ROOT_PASSWORD = "MONGO_ROOT_PASSWORD"
ROOT_USER = "root"


def consumer_timeout_s(file: Path = RABBITMQ_FILE) -> float:
    """Return after how many seconds RabbitMQ gives an unacknowledged task to another worker.

    :raises ConfigurationError: when the file does not say.
    """
    found = re.search(r"^consumer_timeout\s*=\s*(\d+)\s*$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    if found is None:
        raise ConfigurationError(
            f"{file} sets no consumer_timeout: RabbitMQ's default of 30 minutes would double every longer training"
        )
    return int(found[1]) / 1000


def distributed_pools(settings: Settings, template: Path = POOLS_FILE) -> dict[str, dict[str, Any]]:
    """Return the template's pools, the trainings' with as many slots as their workers have."""
    pools: dict[str, dict[str, Any]] = json.loads(template.read_text(encoding="utf-8"))
    pools["cpu_training"]["slots"] = settings.max_concurrent_trainings
    pools["gpu"]["slots"] = settings.gpu_count
    return pools


def connections_of(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the connections that the environment gives (`AIRFLOW_CONN_<NAME>`), as `airflow connections import` reads.

    JSON becomes a dictionary, an address stays one. Variables without a value count as not set.
    """
    return {
        name.removeprefix(CONNECTION_PREFIX).lower(): json.loads(value) if value.lstrip().startswith("{") else value
        for name, value in environment.items()
        if name.startswith(CONNECTION_PREFIX) and value.strip()
    }


def mongo_plan(environment: Mapping[str, str], settings: Settings) -> MongoPlan:
    """Return what MongoDB is to become, from the connection that the tasks will use.

    :raises ConfigurationError: when a part is missing.
    """
    connection = connections_of(environment).get("mongo_default")
    try:
        if not isinstance(connection, dict):
            raise KeyError("as JSON")
        return MongoPlan(
            host=f"{connection['host']}:{connection['port']}",
            replica_set=connection["extra"]["replicaSet"],
            root_user=ROOT_USER,
            root_password=environment[ROOT_PASSWORD],
            user=connection["login"],
            password=connection["password"],
            database=settings.mongo_database,
        )
    except KeyError as error:
        raise ConfigurationError(
            f"{MONGO_VARIABLE} (JSON) or {ROOT_PASSWORD} lacks {error}: docker-compose.yaml shows both"
        ) from error


def airflow_plan(environment: Mapping[str, str], settings: Settings) -> dict[str, Any]:
    """Return the plan that :func:`ops.airflow_setup.set_up` carries out.

    :raises ConfigurationError: without a password for the admin.
    """
    password = environment.get(ADMIN_PASSWORD, "")
    if not password:
        raise ConfigurationError(f"{ADMIN_PASSWORD} is empty: set the password of the UI's user {ADMIN_NAME}")
    return {
        "roles_file": str(ROLES_FILE),
        "pools": distributed_pools(settings),
        "connections": connections_of(environment),
        "admin": {"name": ADMIN_NAME, "password": password},
    }


def check_bounds(settings: Settings, parallelism: int) -> None:
    """Refuse numbers that do not fit together; docs/deployment.md explains each.

    :raises ConfigurationError: with the two numbers and what to change.
    """
    broker_s = consumer_timeout_s()
    if settings.training_hard_limit_s >= broker_s:
        raise ConfigurationError(
            f"TRADING_OPS_TRAINING_HARD_LIMIT_S is {settings.training_hard_limit_s:.0f}, but RabbitMQ gives a task to "
            f"another worker after {broker_s:.0f} s: raise consumer_timeout in config/rabbitmq/rabbitmq.conf first"
        )
    slots = sum(pool["slots"] for pool in distributed_pools(settings).values())
    if slots >= parallelism:
        raise ConfigurationError(
            f"the pools have {slots} slots, [core] parallelism is {parallelism}: raise it above them "
            "(AIRFLOW__CORE__PARALLELISM), or a full training pool starves the watchmen"
        )


def main() -> int:
    """Set everything up; return 0, or 1 after saying what is wrong."""
    from airflow.configuration import conf

    environment, settings = dict(os.environ), Settings()
    try:
        check_bounds(settings, conf.getint("core", "parallelism"))
        mongo, airflow = mongo_plan(environment, settings), airflow_plan(environment, settings)
        if settings.rabbitmq_management_url is None:
            raise ConfigurationError("TRADING_OPS_RABBITMQ_MANAGEMENT_URL is not set")
        print("MongoDB: replica set, user, indexes", flush=True)
        set_up_mongo(mongo)
        print("RabbitMQ: policies", flush=True)
        import_definitions(settings.rabbitmq_management_url.get_secret_value())
        print("Airflow: tables, roles, admin, pools, connections", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            set_up(airflow, Path(folder))
    except (ConfigurationError, RuntimeError) as error:
        print(f"The set-up stopped: {error}", file=sys.stderr)
        return 1
    for channel in settings.notification_channels:
        variable = f"{CONNECTION_PREFIX}{'SMTP' if channel == 'email' else channel.upper()}_DEFAULT"
        if not environment.get(variable):
            print(f"Note: no {variable} was given; the channel {channel} needs the connection from elsewhere")
    return 0


if __name__ == "__main__":
    sys.exit(main())
