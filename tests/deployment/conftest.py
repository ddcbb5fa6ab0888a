"""The bundle's DAGs, to hold against the topology, and a whole environment for docker-compose.yaml."""

from __future__ import annotations

from io import StringIO

import pytest
from dotenv import dotenv_values

from ops.deployment_env import TO_FILL_IN, completed
from tests.dags.conftest import dag_bag
from tests.ops.conftest import ask_airflow

__all__ = ["ask_airflow", "dag_bag"]


@pytest.fixture
def environment() -> dict[str, str]:
    """What `python -m ops.deployment_env` writes, with the rest filled in."""
    written = dotenv_values(stream=StringIO(completed("")), interpolate=False)
    return {name: value or "filled-in" for name, value in written.items()} | dict.fromkeys(TO_FILL_IN, "filled-in")
