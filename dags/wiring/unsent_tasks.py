"""Tells which of a dead scheduler's queued tasks lie in nobody's queue, so that the next scheduler sends them anew.

Airflow marks a task as queued, with the id that its Celery message will have, before it sends that message. A scheduler
that is killed in between, or while the broker is away, leaves tasks that nobody has sent. Celery says PENDING of them,
as it does of a message that waits, so Airflow's executor (3.3.2, provider 3.26) takes them over and waits until
`task_queued_timeout` has passed. The broker knows better: what was never sent does not lie in its queue. (While others'
messages wait there it cannot tell either, and Airflow's way remains.)

To send anew what was sent after all does no harm. Airflow gives the task a new id, and a worker that asks to start the
old one is refused (404 of the execution API): it loses that start, nothing runs twice.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from airflow.providers.celery.executors.celery_executor_utils import OPERATION_TIMEOUT
from airflow.utils.state import TaskInstanceState
from amqp.exceptions import AMQPError, NotFound
from kombu.exceptions import OperationalError

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance
    from celery import Celery

log = logging.getLogger(__name__)


def not_in_the_broker(tis: Iterable[TaskInstance], celery_app: Celery) -> list[TaskInstance]:
    """Return the queued tasks in whose queue no message waits, or of whose queue nothing can be learned.

    A task that goes on after it was deferred is none of them: sent anew it would begin at its beginning.

    :param tis: tasks of a scheduler that is gone, in any state.
    """
    queued = [
        ti
        for ti in tis
        if ti.state == TaskInstanceState.QUEUED and ti.external_executor_id is not None and ti.next_method is None
    ]
    waiting = messages_waiting({str(ti.queue) for ti in queued}, celery_app) if queued else {}
    return [ti for ti in queued if not waiting.get(str(ti.queue))]


def messages_waiting(queues: Iterable[str], celery_app: Celery) -> dict[str, int]:
    """Return how many messages wait in each queue; of what the broker does not say in time, nothing.

    :param queues: their names; one that does not exist has no messages.
    """
    patience = {"read_timeout": OPERATION_TIMEOUT, "write_timeout": OPERATION_TIMEOUT}  # closing is a question, too
    broker = celery_app.connection_for_read(connect_timeout=OPERATION_TIMEOUT, transport_options=patience)
    counts: dict[str, int] = {}
    try:
        with broker as connection:
            for queue in queues:
                counts[queue] = _ready(connection, queue)
    except (OperationalError, AMQPError, OSError) as error:
        log.warning("The broker does not say what waits in its queues (known: %s): %s", counts, error)
    return counts


def _ready(connection: Any, queue: str) -> int:
    channel = connection.channel()  # of its own: RabbitMQ closes the one that asked for a queue that does not exist
    try:
        return int(channel.queue_declare(queue, passive=True).message_count)
    except NotFound:
        return 0
    finally:
        channel.close()
