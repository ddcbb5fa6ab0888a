"""Celery's results in Redis for the distributed mode, where they are asked for and not listened to.

Celery's own backend subscribes to a channel for every task that it sends, since somebody might wait for the result. The
scheduler does not: it asks for the states of all tasks in one request. Nobody reads its channels, and nobody leaves
them: both the scheduler and Redis hold one more for every task for as long as the scheduler lives (Celery 5.6.3), and
Redis drops a listener that does not read.

`AIRFLOW__CELERY__RESULT_BACKEND=dags.wiring.polled_results:PolledRedisBackend+redis://...`
"""

from __future__ import annotations

from typing import Any

from celery.backends.redis import RedisBackend


class PolledRedisBackend(RedisBackend):
    """Keeps the results in Redis; whoever has sent a task hears of its end by asking."""

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Subscribe to nothing."""
