"""What Airflow hands to a listener, as plain objects with the same names."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2026, 3, 1, 8, tzinfo=UTC)


@dataclass
class Run:
    """A DAG run as Airflow's database has it."""

    dag_id: str = "train_model"
    run_id: str = "manual__1"
    conf: dict[str, Any] | None = None
    triggering_user_name: str | None = "mia"
    run_type: str = "manual"
    logical_date: datetime | None = None
    start_date: datetime | None = START
    end_date: datetime | None = START + timedelta(minutes=5)


@dataclass
class Task:
    """A task instance as Airflow's database has it."""

    task_id: str = "admit"
    state: str | None = "success"
    map_index: int = -1
    try_number: int = 1
    dag_run: Run = field(default_factory=Run)
    start_date: datetime | None = START
    end_date: datetime | None = START + timedelta(seconds=2)
    operator: str = "_PythonDecoratedOperator"

    @property
    def dag_id(self) -> str:
        return self.dag_run.dag_id

    @property
    def run_id(self) -> str:
        return self.dag_run.run_id
