"""Where trainings run and when Airflow ends them: from the settings, for both DAGs that train."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.dags.conftest import REPOSITORY

DESCRIBE = """
import json
import os
from airflow.dag_processing.dagbag import DagBag
found = {}
for name in ("train_model", "adaptive_retrain"):
    (dag,) = DagBag(f"dags/{name}.py").dags.values()
    for task in dag.tasks:
        if task.task_id.endswith(".train"):
            found[f"{name} {task.task_id}"] = [
                task.pool, task.execution_timeout.total_seconds(), task.max_active_tis_per_dag, task.queue
            ]
print(json.dumps(found))
"""


def trainings(**settings: str) -> dict[str, list[Any]]:
    environment = {**os.environ, **{f"TRADING_OPS_{name.upper()}": value for name, value in settings.items()}}
    answer = subprocess.run(
        [sys.executable, "-c", DESCRIBE], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    described: dict[str, list[Any]] = json.loads(answer.stdout.strip().splitlines()[-1])
    return described


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ["cpu_training", 9000.0, 2, "ml_training"]),
        ({"gpu_count": "1", "training_hard_limit_s": "600"}, ["gpu", 600.0, 2, "ml_training"]),
    ],
)
def test_tc_async_007_and_023_pool_and_hard_limit_follow_the_settings(
    settings: dict[str, str], expected: list[Any]
) -> None:
    found = trainings(**settings)
    assert len(found) == 6
    assert all(described == expected for described in found.values()), found
