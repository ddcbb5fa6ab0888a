"""Where the services of docker-compose.yaml are on this machine: `service:port` becomes a port of 127.0.0.1."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from ops.environment import MONGO_VARIABLE

HOST = "127.0.0.1"
API, SCHEDULER, FLOWER, METRICS = "api-server:8080", "scheduler:8974", "flower:5555", "metrics:9102"
POSTGRES, REDIS, MONGODB = "postgres:5432", "redis:6379", "mongodb:27017"
RABBITMQ, RABBITMQ_MANAGEMENT, RABBITMQ_FIGURES = "rabbitmq:5672", "rabbitmq:15672", "rabbitmq:15692"
PROMETHEUS, ALERTMANAGER = "prometheus:9090", "alertmanager:9093"
STATSD, STATSD_FIGURES = "statsd-exporter:9125", "statsd-exporter:9102"

ADDRESSES = (
    API, SCHEDULER, FLOWER, METRICS, POSTGRES, REDIS, MONGODB, RABBITMQ, RABBITMQ_MANAGEMENT, RABBITMQ_FIGURES,
    PROMETHEUS, ALERTMANAGER, STATSD, STATSD_FIGURES,
)  # fmt: skip
"""Every address that the services use among themselves, or are reached at."""

ADDRESS = re.compile(rf"(?<![\w.-])(?:{'|'.join(map(re.escape, ADDRESSES))})(?!\d)")
STATSD_HOST, STATSD_PORT = "AIRFLOW__METRICS__STATSD_HOST", "AIRFLOW__METRICS__STATSD_PORT"


def native(text: str, ports: Mapping[str, int]) -> str:
    """Return the text with every address of a service replaced by its address here.

    :param ports: by address, as :data:`ADDRESSES` names them.
    """
    return ADDRESS.sub(lambda match: f"{HOST}:{ports[match[0]]}", text)


def native_environment(environment: Mapping[str, str], ports: Mapping[str, int]) -> dict[str, str]:
    """Return a service's environment with its addresses here, those included that stand in two values."""
    here = {name: native(value, ports) for name, value in environment.items()}
    if STATSD_HOST in here:
        statsd = f"{here[STATSD_HOST]}:{here[STATSD_PORT]}"
        here |= {STATSD_HOST: HOST, STATSD_PORT: str(ports[statsd])}
    if MONGO_VARIABLE in here:
        mongo = json.loads(here[MONGO_VARIABLE])
        mongo |= {"host": HOST, "port": ports[f"{mongo['host']}:{mongo['port']}"]}
        here[MONGO_VARIABLE] = json.dumps(mongo)
    return here
