"""How much work waits for each queue, counted in Airflow's own database.

Tasks wait in Airflow's pools, not in RabbitMQ, and most of a flood has not even been given tasks to schedule: its runs
are queued behind the DAG's `max_active_runs`. Counting messages in the broker would therefore say 8 where 500 wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from include.metrics.gauge import Gauge, Labels

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

WAITING_TASKS = """
SELECT queue, count(*) FROM task_instance WHERE state IN ('scheduled', 'queued') GROUP BY queue
"""
QUEUED_RUNS = """
SELECT ti.queue, count(DISTINCT dr.id) FROM dag_run dr
JOIN task_instance ti ON ti.dag_id = dr.dag_id AND ti.run_id = dr.run_id
WHERE dr.state = 'queued' GROUP BY ti.queue
"""


def waiting_gauges(engine: Engine, queues: tuple[str, ...]) -> list[Gauge]:
    """Return what waits per queue: tasks of running runs, and runs that have not begun.

    A queued run counts once for each queue that its tasks name.

    :param queues: every queue there is: one where nothing waits is 0, not absent.
    :raises sqlalchemy.exc.SQLAlchemyError: when the database is away.
    """
    values: dict[Labels, float] = {
        (("queue", queue), ("what", what)): 0.0 for queue in queues for what in ("tasks", "runs")
    }
    with engine.connect() as connection:
        for what, statement in (("tasks", WAITING_TASKS), ("runs", QUEUED_RUNS)):
            for queue, count in connection.execute(text(statement)):
                values[("queue", str(queue)), ("what", what)] = float(count)
    return [Gauge("trading_ops_queue_waiting", "Tasks and runs that wait for a queue.", values)]
