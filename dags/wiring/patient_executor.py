"""The CeleryExecutor of the distributed mode, for a scheduler that goes on while RabbitMQ or Redis is away.

The scheduler's loop starts the watchmen, too, which must work just then. Airflow's own executor stops that loop in two
ways (3.3.2, provider 3.26):

- It tries to send every waiting task, one after the other, and each attempt takes `[celery] operation_timeout` while
  the broker is away: 8 tasks, 8 seconds, in every round of the loop. Here the first such attempt ends the round, and
  the next one is made after a pause.
- It asks the result backend for the states of what it has sent, and an error there ends the scheduler; the one that is
  started in its place asks again when it adopts tasks, and ends, too. Here the states are asked for again later: they
  are a second source only, a task tells the API server itself how it ended. Nothing is sent meanwhile either: a worker
  has to write to that backend before it begins.

A scheduler that died may have left tasks that nobody has sent; `dags/wiring/unsent_tasks.py` finds them.

And a scheduler that crashes, because its database went away, waits for the workers of the LocalExecutor, one of which
may never hear that it is to end (seen at a restart of PostgreSQL): alive, doing nothing, never started anew. Here that
wait is bounded. One that is asked to end waits as long as whoever asked grants, since its watchmen may be at work.

`AIRFLOW__CORE__EXECUTOR=dags.wiring.patient_executor.PatientCeleryExecutor,LocalExecutor`
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.celery.executors.celery_executor import CeleryExecutor
from airflow.providers.celery.executors.celery_executor_utils import ExceptionWithTraceback
from airflow.sdk.exceptions import AirflowTaskTimeout
from celery.backends.redis import RedisBackend
from celery.result import AsyncResult
from celery.states import PENDING
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

import dags.wiring.message_summary  # noqa: F401 - from here on, messages say no more of themselves than they should
from dags.wiring.unsent_tasks import not_in_the_broker

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance

SEND_AGAIN_AFTER_S = 3.0
"""Pause before sending is tried again: an attempt holds up the scheduler for `operation_timeout`."""

ASK_AGAIN_AFTER_S = 5.0
"""Pause before a result backend that did not answer is asked again: one that hangs takes its time-out every time."""

ENDS_WITHIN_S = 60.0
"""A scheduler that has crashed is gone after this time, whatever it waits for; a watchman that is cut off is tried
again by the next one."""

AWAY = (RedisError, OperationalError, OSError)


class PatientCeleryExecutor(CeleryExecutor):
    """Sends through Celery, and lets the scheduler's loop go on while that is not possible."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ask_again_at = self._send_again_at = 0.0

    def _send_workloads_to_celery(self, workload_tuples_to_send: Sequence[Any]) -> list[Any]:
        """Send until the first attempt that times out; what is left stays queued for a later round of the scheduler."""
        outcomes: list[Any] = []
        if time.monotonic() < self._send_again_at or not self._has_result_backend():
            return outcomes
        for workload in workload_tuples_to_send:
            (outcome,) = super()._send_workloads_to_celery([workload])
            outcomes.append(outcome)
            if isinstance(outcome[2], ExceptionWithTraceback) and isinstance(outcome[2].exception, AirflowTaskTimeout):
                self._send_again_at = time.monotonic() + SEND_AGAIN_AFTER_S
                break
        return outcomes

    def sync(self) -> None:
        """Ask for the states of what was sent; ask again later when nobody answers."""
        if time.monotonic() < self._ask_again_at:
            return
        try:
            super().sync()
        except AWAY as error:
            self._is_away(error)

    def try_adopt_task_instances(self, tis: Sequence[TaskInstance]) -> Sequence[TaskInstance]:
        """Take over what another scheduler has sent; without asking for its state while nobody answers.

        :return: what is to be sent anew: it was never sent, as far as the broker and Celery know.
        """
        unsent = not_in_the_broker(tis, self.celery_app)
        try:
            unsent = self._pending(unsent)
            return [*super().try_adopt_task_instances([ti for ti in tis if ti not in unsent]), *unsent]
        except AWAY as error:
            self.log.warning("Celery's result backend does not answer, adopting without states: %s", error)
        unknown = []
        for ti in tis:
            # A worker that has taken its message has not begun either: it writes to that backend first.
            if ti.external_executor_id is None or ti in unsent:
                unknown.append(ti)
                continue
            self.workloads[ti.key] = AsyncResult(ti.external_executor_id, app=self.celery_app)
            self.running.add(ti.key)
        return unknown

    def _pending(self, tis: Sequence[TaskInstance]) -> list[TaskInstance]:
        """Return those of which Celery knows nothing."""
        results = [AsyncResult(ti.external_executor_id, app=self.celery_app) for ti in tis]
        states = self.bulk_state_fetcher.get_many(results) if results else {}
        return [ti for ti in tis if states[str(ti.external_executor_id)][0] == PENDING]

    def end(self, synchronous: bool = False) -> None:
        """End; after a crash, and with it the whole scheduler, within a bounded time.

        The scheduler calls this in a `finally`: what ended its loop is the exception of the moment, and `SystemExit`
        when it was asked to end.
        """
        if isinstance(sys.exc_info()[1], Exception):
            last_resort = threading.Timer(ENDS_WITHIN_S, os._exit, (1,))
            last_resort.daemon = True
            last_resort.start()
        super().end(synchronous)

    def _has_result_backend(self) -> bool:
        if time.monotonic() < self._ask_again_at:
            return False
        backend = self.celery_app.backend
        try:
            if isinstance(backend, RedisBackend):
                backend.client.ping()
        except AWAY as error:
            self._is_away(error)
            return False
        return True

    def _is_away(self, error: BaseException) -> None:
        self.log.warning("Celery's result backend does not answer, asking again in a moment: %s", error)
        self._ask_again_at = time.monotonic() + ASK_AGAIN_AFTER_S
