"""Delivers the messages that wait in the outbox: the task function of `replay_pending`."""

from __future__ import annotations

from typing import Any


def deliver_outbox() -> dict[str, Any]:
    """Deliver what is due on every channel and return what was done and what still waits.

    A channel that fails is no failure of this task: its messages wait, and the health report shows it. While MongoDB is
    away the answer is the `outage`: the next run is a minute away, and a retry would only keep it waiting.
    """
    from pymongo.errors import PyMongoError

    from dags.wiring.runtime import usable_database
    from include.errors import TransientError
    from include.notify.deliver_waiting import deliver_waiting
    from include.notify.scrub import excerpt
    from include.settings import get_settings
    from include.store.collections import ensure_indexes
    from include.store.durable import NOT_USABLE

    db = usable_database()
    if db is None:
        return {"outage": NOT_USABLE}
    try:
        ensure_indexes(db)
        return deliver_waiting(db, get_settings())
    except (TransientError, PyMongoError) as error:
        return {"outage": excerpt(error, 500)}
