"""Real parts for the health check: Redis, RabbitMQ, a MongoDB that may be stopped, the stand-ins and the sinks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymongo
import pytest
from bson.codec_options import CodecOptions
from pydantic import SecretStr
from pymongo.database import Database

from include.health.check import HealthCheck
from include.health.entry import DISK, MEMORY
from include.health.probes import configured_probes
from include.health.resources import UsageLimits, usage_entry
from include.notify.deliver import deliver
from include.notify.message import Message
from include.settings import Settings
from include.store.collections import ensure_indexes
from sandbox.control import Control
from sandbox.launcher import Sandbox
from sandbox.mongod import Mongod, start_mongod
from sandbox.rabbitmq import RabbitMq, start_rabbitmq
from sandbox.redis_server import RedisServer, start_redis

SHORT_S = 3.0
"""Time-out of one attempt where a test waits for both of them to be over."""
QUEUES = ("critical", "ml_training", "scheduled")
CHANNELS = ("email", "slack", "discord", "telegram")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = start_redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMq]:
    node = start_rabbitmq(tmp_path_factory.mktemp("rabbitmq"), management=True)
    yield node
    node.stop(timeout_s=0)  # it has nothing to lose


@pytest.fixture(scope="session")
def patient_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("patient")


@dataclass
class Patient:
    """A MongoDB of this folder's own, which tests stop and start again on the same port."""

    folder: Path
    server: Mongod
    clients: list[pymongo.MongoClient[dict[str, Any]]] = field(default_factory=list)

    def database(self) -> Database[dict[str, Any]]:
        """Open it as the Airflow connection of the embedded mode does."""
        client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
            self.server.uri, serverSelectionTimeoutMS=5000
        )
        self.clients.append(client)
        return client.get_database("trading_ops", codec_options=CodecOptions(tz_aware=True))

    def stop(self) -> None:
        self.server.process.kill()
        self.server.process.wait()

    def start(self) -> None:
        if self.server.process.poll() is not None:
            self.server = start_mongod(self.folder, self.server.port)


@pytest.fixture(scope="session")
def patient_server(patient_folder: Path) -> Iterator[Patient]:
    patient = Patient(patient_folder, start_mongod(patient_folder))
    ensure_indexes(patient.database())
    yield patient
    patient.server.stop()


@pytest.fixture
def patient(patient_server: Patient) -> Iterator[Patient]:
    """The MongoDB, empty and running, before and after the test."""
    db = patient_server.database()
    found = list(db.list_collections(filter={"name": {"$not": {"$regex": "^system"}}}))
    for name, kind in ((collection["name"], collection["type"]) for collection in found):
        if kind == "view":  # a test's way to a MongoDB that refuses writes
            db.drop_collection(name)
        else:
            db[name].delete_many({})
    yield patient_server
    patient_server.start()
    while patient_server.clients:
        patient_server.clients.pop().close()


@dataclass
class Room:
    """One deployment: all eight entries configured, four channels; readings of disk and memory as a test sets them."""

    settings: Settings
    patient: Patient
    control: Control
    disk_percent: float = 37.0
    memory_percent: float = 41.0
    kept: list[Message] = field(default_factory=list)

    def check(self, task_id: str, **changes: Any) -> dict[str, Any]:
        """Run one check with some settings changed, and return its report."""
        settings = self.settings.model_copy(update=changes)
        probes = {
            **configured_probes(settings, self.patient.database, QUEUES),
            DISK: lambda _: usage_entry(DISK, self.disk_percent, UsageLimits()),
            MEMORY: lambda _: usage_entry(MEMORY, self.memory_percent, UsageLimits()),
        }

        def send(message: Message) -> Mapping[str, str]:
            self.kept.append(message)
            return deliver(self.patient.database(), message, settings)

        result = HealthCheck(settings, probes, self.patient.database, send).run(task_id)
        assert result["status"] == "success"
        assert result["task_id"] == task_id
        report: dict[str, Any] = result["health_report"]
        return report

    def heard(self, channel: str = "smtp") -> list[str]:
        """Return the titles that a sink received, oldest first, without their symbols."""
        texts = []
        for message in self.control.messages(channel):
            payload = message["payload"]
            texts.append(payload["subject"] if channel == "smtp" else str(payload))
        return texts


@pytest.fixture
def room(
    tmp_path: Path,
    sandbox: Sandbox,
    control: Control,
    patient: Patient,
    redis_server: RedisServer,
    rabbitmq: RabbitMq,
    monkeypatch: pytest.MonkeyPatch,
) -> Room:
    """The deployment, all well; its time-outs are for a busy machine, where something hangs a test shortens them."""
    for name, value in sandbox.env.items():
        if name.startswith("AIRFLOW_CONN_"):
            monkeypatch.setenv(name, value)
    urls = sandbox.urls
    settings = Settings(
        state_dir=tmp_path / "state",
        engine_base_url=urls["engine"],
        ai_service_base_url=urls["ai_service"],
        frontend_base_url=urls["frontend"],
        redis_url=SecretStr(redis_server.url),
        rabbitmq_url=SecretStr(rabbitmq.url),
        rabbitmq_management_url=SecretStr(rabbitmq.management_url or ""),
        health_timeout_s=8.0,
        notification_channels=CHANNELS,
        email_to=("admin@example.invalid",),
    )
    return Room(settings, patient, control)
