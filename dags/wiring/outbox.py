"""Delivers the messages that wait in the outbox: the task function of `replay_pending`."""

from __future__ import annotations

from typing import Any


def deliver_outbox() -> dict[str, Any]:
    """Deliver what is due on every channel and return what was done and what still waits.

    A channel that fails is no failure of this task: its messages wait, and the health report shows it.

    :raises include.errors.TransientError: while MongoDB is away.
    """
    from dags.wiring.runtime import database
    from include.notify.deliver_waiting import deliver_waiting
    from include.settings import get_settings

    return deliver_waiting(database(), get_settings())
