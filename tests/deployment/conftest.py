"""What the tests share: the bundle's DAGs, a whole environment for docker-compose.yaml, a mongod as Compose has it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from io import StringIO

import pytest
from dotenv import dotenv_values

from ops.deployment_env import TO_FILL_IN, completed
from ops.mongo_setup import MongoPlan
from sandbox.mongod import create_root, start_mongod
from tests.dags.conftest import dag_bag
from tests.ops.conftest import ask_airflow

__all__ = ["ask_airflow", "dag_bag"]


@pytest.fixture
def environment() -> dict[str, str]:
    """What `python -m ops.deployment_env` writes, with the rest filled in."""
    written = dotenv_values(stream=StringIO(completed("")), interpolate=False)
    return {name: value or "filled-in" for name, value in written.items()} | dict.fromkeys(TO_FILL_IN, "filled-in")


@pytest.fixture(scope="session")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoPlan]:
    """A mongod as its image starts it: with a root, a keyfile and the name of a replica set that nobody has begun."""
    folder = tmp_path_factory.mktemp("mongod")
    keyfile = folder / "keyfile"
    keyfile.write_text(secrets.token_hex(32))
    keyfile.chmod(0o400)
    create_root(folder, "root", "rootword")
    server = start_mongod(folder, arguments=("--replSet", "trading_ops", "--keyFile", str(keyfile)))
    yield MongoPlan(f"127.0.0.1:{server.port}", "trading_ops", "root", "rootword", "trading_ops", "word", "trading_ops")
    server.stop()
