"""A picture of every DAG's schedule, params, graph, pools and queues: any change shows in the diff."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from tests.dags.conftest import REPOSITORY

INVENTORY = REPOSITORY / "tests" / "dags" / "inventory.json"


def inventory(dag_bag: Any) -> dict[str, Any]:
    return {
        dag_id: {
            "schedule": dag.schedule if dag.schedule is None else str(dag.schedule),
            "max_active_runs": dag.max_active_runs,
            "params": {name: dag.params[name] for name in dag.params},
            "access_control": {
                role: {resource: sorted(actions) for resource, actions in sorted(resources.items())}
                for role, resources in sorted(dag.access_control.items())
            },
            "tasks": {
                task.task_id: {
                    "after": sorted(task.upstream_task_ids),
                    "rule": str(getattr(task.trigger_rule, "value", task.trigger_rule)),
                    "pool": task.pool,
                    "queue": task.queue,
                    "priority": task.priority_weight,
                    "retries": task.retries,
                    "timeout_s": task.execution_timeout.total_seconds(),
                }
                for task in sorted(dag.tasks, key=lambda task: task.task_id)
            },
        }
        for dag_id, dag in sorted(dag_bag.dags.items())
    }


@pytest.mark.critical
def test_the_inventory_is_as_written_down(dag_bag: Any) -> None:
    """To accept a change: `UPDATE_INVENTORY=1 make test`, then read the diff of inventory.json."""
    now = json.loads(json.dumps(inventory(dag_bag)))
    if os.environ.get("UPDATE_INVENTORY"):
        INVENTORY.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n")
    assert now == json.loads(INVENTORY.read_text())
