"""What every DAG of the bundle must have, so that reviewers argue about it once."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from dags.wiring.defaults import PRIORITY, READERS, TAGS
from dags.wiring.retry import INFRASTRUCTURE_RETRIES, TransientRetryPolicy
from tests.dags.conftest import REPOSITORY

pytestmark = pytest.mark.critical

DAG_IDS = (
    "adaptive_retrain",
    "backtest_strategy",
    "bulk_analysis",
    "daily_api_cost_report",
    "daily_performance_analysis",
    "daily_portfolio_report",
    "emergency_strategy_disable",
    "enable_gpt4",
    "enable_strategy",
    "gpt4_self_analysis",
    "halt_new_entries",
    "ingest_candles",
    "optimize_strategy",
    "predict_price",
    "replay_dead_letters",
    "replay_pending",
    "retention",
    "rollback_model",
    "score_champions",
    "strategy_watchdog",
    "sweep_leases",
    "system_health_check",
    "train_model",
    "watch_api_costs",
)
NEVER_RETRIED = {"watcher", "every_network_trained"}
ROLES = {role["name"] for role in json.loads((REPOSITORY / "config" / "roles.json").read_text())}
POOLS = json.loads((REPOSITORY / "config" / "pools.json").read_text())


def test_every_dag_file_imports_and_defines_its_dag(dag_bag: Any) -> None:
    assert dag_bag.import_errors == {}
    assert sorted(dag_bag.dags) == sorted(DAG_IDS)
    for dag_id, dag in dag_bag.dags.items():
        assert dag.fileloc.endswith(f"dags/{dag_id}.py")


def test_parsing_imports_nothing_heavy() -> None:
    """From the bundle's root, as in production, so that its .airflowignore counts."""
    code = (
        "import sys; from airflow.dag_processing.dagbag import DagBag; bag = DagBag('.');"
        "assert not bag.import_errors, bag.import_errors; assert len(bag.dags) == int(sys.argv[1]);"
        "heavy = ('tensorflow', 'keras', 'pandas', 'pymongo', 'scipy', 'openai');"
        "print([name for name in heavy if name in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(len(DAG_IDS))], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip().splitlines()[-1] == "[]"


@pytest.mark.parametrize("dag_id", DAG_IDS)
class TestDag:
    """One DAG at a time."""

    def test_is_documented_tagged_and_bounded(self, dag_bag: Any, dag_id: str) -> None:
        dag = dag_bag.dags[dag_id]
        assert dag.doc_md
        assert dag.doc_md.startswith("# ")
        assert dag.description
        assert dag.tags
        assert set(dag.tags) <= set(TAGS)
        assert dag.dagrun_timeout
        assert dag.catchup is False
        assert dag.is_paused_upon_creation is False
        assert dag.start_date is None, "a new deployment would run the last missed moment at once"

    def test_every_role_reads_and_only_known_roles_trigger(self, dag_bag: Any, dag_id: str) -> None:
        rights = dag_bag.dags[dag_id].access_control
        assert set(rights) <= ROLES
        assert set(READERS) <= set(rights)
        for role, resources in rights.items():
            assert set(resources) <= {"DAGs", "DAG Runs"}, role
            assert "can_read" in resources["DAGs"]
        assert "can_create" not in rights["Viewer"]["DAG Runs"]

    def test_every_param_explains_itself(self, dag_bag: Any, dag_id: str) -> None:
        for name, param in dag_bag.dags[dag_id].params.items():
            described = dag_bag.dags[dag_id].params.get_param(name)
            assert described.schema.get("title"), name
            assert described.description, name
            has_default = param is not None or dag_bag.dags[dag_id].schedule is None
            assert has_default, f"{name} has no default, so the schedule could not run"

    def test_tasks_are_owned_retried_bounded_and_placed(self, dag_bag: Any, dag_id: str) -> None:
        for task in dag_bag.dags[dag_id].tasks:
            assert task.owner == "trading-ops", task.task_id
            assert task.execution_timeout, task.task_id
            assert task.queue in PRIORITY, task.task_id
            assert task.pool in POOLS, task.task_id
            if task.task_id in NEVER_RETRIED:
                assert task.retries == 0
                continue
            assert isinstance(task.retry_policy, TransientRetryPolicy), task.task_id
            assert task.retries == task.retry_policy.max_retries + INFRASTRUCTURE_RETRIES
            assert task.retry_delay.total_seconds() <= 10, "a killed worker's task must come back soon"

    def test_only_trainings_use_the_training_pool(self, dag_bag: Any, dag_id: str) -> None:
        for task in dag_bag.dags[dag_id].tasks:
            is_training = task.task_id.endswith(".train")
            assert (task.pool == "cpu_training") == is_training, task.task_id
            assert (task.queue == "ml_training") == is_training, task.task_id
            if is_training:
                assert task.max_active_tis_per_dag == 2
