"""The bundle's DAGs, parsed once by Airflow's own DagBag."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def worker_environment(home: Path) -> dict[str, str]:
    """Return what a Celery worker needs to import its application, at a broker and a Redis that nobody has."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(REPOSITORY),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_CONFIG": str(REPOSITORY / "airflow.cfg"),
        "AIRFLOW__CELERY__BROKER_URL": "amqp://127.0.0.1:1//",
        "AIRFLOW__CELERY__RESULT_BACKEND": "redis://127.0.0.1:1/0",
        "TRADING_OPS_ROOT": str(REPOSITORY),
    }


@pytest.fixture(scope="session")
def dag_bag(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Parse `dags/` as the DAG processor does; needs no database."""
    settings = {
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
        "AIRFLOW_CONFIG": str(REPOSITORY / "airflow.cfg"),
        "TRADING_OPS_ROOT": str(REPOSITORY),
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        from airflow.dag_processing.dagbag import DagBag

        yield DagBag(str(REPOSITORY / "dags"))
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
