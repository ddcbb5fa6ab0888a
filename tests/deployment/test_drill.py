"""A whole deployment on real servers: set up, set up again, backed up, lost, restored elsewhere.

The commands and their environments are those of the services `airflow-init` and `backup` of docker-compose.yaml.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pymongo
import pytest
from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool
from werkzeug.security import check_password_hash

from include.store.collections import CHAMPIONS
from ops import compose
from ops.mongo_setup import MongoPlan
from ops.postgres_backup import VARIABLE
from ops.run_dir import REPOSITORY
from ops.stack.addresses import ADDRESSES, MONGODB, POSTGRES, RABBITMQ, RABBITMQ_MANAGEMENT, native_environment
from sandbox.mongod import Mongod
from sandbox.postgres import Postgres, find_postgres, start_postgres
from sandbox.rabbitmq import Login, RabbitMq, start_rabbitmq

pytestmark = pytest.mark.long

SLACK = "AIRFLOW_CONN_SLACK_DEFAULT"
ROLES = """
    SELECT r.name, p.name, v.name FROM ab_role r
    JOIN ab_permission_view_role x ON x.role_id = r.id JOIN ab_permission_view pv ON pv.id = x.permission_view_id
    JOIN ab_permission p ON p.id = pv.permission_id JOIN ab_view_menu v ON v.id = pv.view_menu_id ORDER BY 1, 2, 3"""
USERS = """
    SELECT u.username, u.password, r.name FROM ab_user u
    JOIN ab_user_role x ON x.user_id = u.id JOIN ab_role r ON r.id = x.role_id ORDER BY 1"""
POOLS = "SELECT pool, slots FROM slot_pool ORDER BY 1"
CONNECTIONS = "SELECT conn_id, conn_type, host, port, login, is_encrypted FROM connection ORDER BY 1"
SECRETS = "SELECT conn_id, password FROM connection ORDER BY 1"
RUNS = "SELECT run_id, dag_id, state, conf FROM dag_run ORDER BY 1"

WORK = """
from datetime import UTC, datetime
from airflow.models import DagRun, Variable
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
at = datetime(2026, 3, 14, tzinfo=UTC)
with create_session() as session:
    for number in range(3):
        session.add(DagRun(
            dag_id="train_model", run_id=f"manual__{number}", run_type=DagRunType.MANUAL, state=DagRunState.SUCCESS,
            run_after=at, conf={"symbol": "BTCUSDT", "number": number}, triggered_by=DagRunTriggeredByType.REST_API,
        ))
Variable.set("note", "a secret note")
"""
"""What Airflow keeps of people's work, written by Airflow itself: runs, and a value that it encrypts."""


def ask(url: str, question: str) -> list[tuple[Any, ...]]:
    with create_engine(url, poolclass=NullPool).connect() as session:
        return [tuple(row) for row in session.execute(text(question))]


@dataclass
class Deployment:
    """The servers, and the environments that Compose gives its services, with the addresses of these servers."""

    postgres: Postgres
    rabbitmq: RabbitMq
    plan: MongoPlan
    known: Mapping[str, str]
    folder: Path

    def environment(self, service: str) -> dict[str, str]:
        ports = dict.fromkeys(ADDRESSES, 9) | {
            POSTGRES: self.postgres.port,
            RABBITMQ: self.rabbitmq.port,
            RABBITMQ_MANAGEMENT: self.rabbitmq.management_port or 0,
            MONGODB: int(self.plan.host.partition(":")[2]),
        }
        return native_environment(compose.environment_of(compose.services()[service], self.known), ports) | {
            "PATH": f"{find_postgres()}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "TRADING_OPS_ROOT": str(REPOSITORY),
            "TRADING_OPS_STATE_DIR": str(self.folder / "state"),
            "AIRFLOW_HOME": str(self.folder / "airflow"),
            "AIRFLOW_CONFIG": str(REPOSITORY / "airflow.cfg"),
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.folder / "logs"),
            "AIRFLOW__METRICS__STATSD_ON": "False",
        }

    def run(self, service: str, *arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=REPOSITORY, env=self.environment(service) | changed, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def set_up(self, **changed: str) -> str:
        answer = self.run("airflow-init", *compose.services()["airflow-init"]["command"][1:], **changed)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout + answer.stderr

    def backup(self, action: str, folder: Path, *options: str, **changed: str) -> subprocess.CompletedProcess[str]:
        return self.run("backup", "-m", "ops.backup", action, str(folder), *options, **changed)


@pytest.fixture
def deployment(plan: MongoPlan, environment: dict[str, str], tmp_path: Path) -> Iterator[Deployment]:
    """Servers that nobody has set up, with the secrets that `ops.deployment_env` makes."""
    folder = tmp_path / "deployment"
    known = environment | {
        "MONGO_PASSWORD": plan.password,
        "MONGO_ROOT_PASSWORD": plan.root_password,
        SLACK: '{"conn_type": "slackwebhook", "password": "https://hooks.slack.com/services/secret"}',
    }
    login = Login("trading_ops", known["RABBITMQ_PASSWORD"], "trading_ops")
    rabbitmq = start_rabbitmq(folder / "rabbitmq", management=True, login=login)
    postgres = start_postgres(folder / "postgres", password=known["POSTGRES_PASSWORD"])
    yield Deployment(postgres, rabbitmq, plan, known, folder)
    postgres.stop()
    rabbitmq.stop()


def test_the_drill(deployment: Deployment, mongod: Mongod, tmp_path: Path) -> None:
    url = deployment.postgres.url

    # Set up, and set up again with another password of the admin: only that changes.
    deployment.set_up()
    made = {question: ask(url, question) for question in (ROLES, POOLS, CONNECTIONS)}
    assert {role for role, *_ in made[ROLES]} >= {"Trader", "MLAdmin", "RiskOfficer"}
    assert dict(ask(url, POOLS))["cpu_training"] == 2
    assert [(name, encrypted) for name, *_, encrypted in ask(url, CONNECTIONS)] == [
        ("mongo_default", True),
        ("slack_default", True),
    ]
    said = deployment.set_up(TRADING_OPS_ADMIN_PASSWORD="-another one")
    assert {question: ask(url, question) for question in made} == made
    ((admin, hashed, role),) = ask(url, USERS)
    assert (admin, role, check_password_hash(hashed, "-another one")) == ("admin", "Admin", True)
    assert not [
        name
        for name, value in deployment.known.items()
        if name.endswith("_PASSWORD") and len(value) > 20 and value in said
    ]
    policies = httpx.get(f"{deployment.rabbitmq.management_url}/api/policies", trust_env=False).json()
    assert [(policy["vhost"], policy["name"]) for policy in policies] == [
        ("trading_ops", "monitoring-events-are-not-kept")
    ]

    # Work, of Airflow and of the bundle.
    worked = deployment.run("airflow-init", "-c", WORK)
    assert worked.returncode == 0, worked.stderr
    with deployment_mongo(deployment.plan) as client:
        client[deployment.plan.database][CHAMPIONS].insert_one({"_id": "BTCUSDT/lstm", "model": "m"})
    kept = {question: ask(url, question) for question in (ROLES, USERS, POOLS, SECRETS, RUNS)}
    assert len(kept[RUNS]) == 3

    # Backed up; everything is lost; restored elsewhere.
    created = deployment.backup("create", tmp_path / "backups")
    assert created.returncode == 0, created.stderr
    (backup,) = (tmp_path / "backups").iterdir()
    deployment.postgres.stop()
    elsewhere = start_postgres(tmp_path / "postgres", password="elsewhere")
    try:
        mongo = json.dumps({"conn_type": "mongo", "host": "127.0.0.1", "port": int(mongod.uri.rpartition(":")[2])})
        there = {
            VARIABLE: elsewhere.url,
            "AIRFLOW_CONN_MONGO_DEFAULT": mongo,
            "TRADING_OPS_MONGO_DATABASE": "drill",
        }
        restored = deployment.backup("restore", backup, **there)
        assert restored.returncode == 0, restored.stderr
        assert {question: ask(elsewhere.url, question) for question in kept} == kept
        with pymongo.MongoClient[dict[str, Any]](mongod.uri) as client:
            assert client["drill"][CHAMPIONS].find_one({"_id": "BTCUSDT/lstm"})

        # A second time it would throw work away.
        again = deployment.backup("restore", backup, **there)
        assert (again.returncode, "not empty" in again.stderr) == (1, True)

        # The keys of the backup open what Airflow had encrypted, and no other key does.
        printed = deployment.backup("keys", backup)
        keys = dict(line.split("=", 1) for line in printed.stdout.splitlines())
        fernet = Fernet(keys["AIRFLOW__CORE__FERNET_KEY"].encode())
        secrets = {name: fernet.decrypt(cipher.encode()).decode() for name, cipher in ask(elsewhere.url, SECRETS)}
        assert secrets["slack_default"] == "https://hooks.slack.com/services/secret"
        with pytest.raises(InvalidToken):
            Fernet(Fernet.generate_key()).decrypt(ask(elsewhere.url, SECRETS)[0][1].encode())

        # Airflow works there with that key; set up once more, it has the passwords and addresses of its new place.
        code = 'from airflow.models import Variable; print("says", Variable.get("note"))'
        answer = deployment.run("airflow-init", "-c", code, **there, **keys)
        assert "says a secret note" in answer.stdout, answer.stderr
        deployment.set_up(**{VARIABLE: elsewhere.url, **keys}, TRADING_OPS_ADMIN_PASSWORD="of the new place")
        assert {question: ask(elsewhere.url, question) for question in (*made, RUNS)} == made | {RUNS: kept[RUNS]}
        ((_, hashed, _),) = ask(elsewhere.url, USERS)
        assert check_password_hash(hashed, "of the new place")
    finally:
        elsewhere.stop()
        with pymongo.MongoClient[dict[str, Any]](mongod.uri) as client:
            client.drop_database("drill")


def deployment_mongo(plan: MongoPlan) -> pymongo.MongoClient[dict[str, Any]]:
    return pymongo.MongoClient(
        f"mongodb://{plan.host}", username=plan.user, password=plan.password, authSource="admin",
        replicaSet=plan.replica_set,
    )  # fmt: skip
