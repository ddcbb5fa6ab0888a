"""Delivers what waits in the outbox; called every minute."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from include.errors import ConfigurationError
from include.notify.attempt import Sender
from include.notify.channel_state import outbox_access
from include.notify.deliver import deliver, outbox_of, receipts_of
from include.notify.given_up import KEY, given_up_message
from include.notify.outbox_state import outbox_state
from include.notify.receipts import KEPT_S
from include.notify.routing import all_channels
from include.notify.senders import channel_senders
from include.store.collections import OUTBOX

if TYPE_CHECKING:
    from pymongo.database import Database

    from include.settings import Settings

log = logging.getLogger(__name__)

LIMIT = 200
BUDGET_S = 40.0
"""The next call comes after a minute."""


def deliver_waiting(
    db: Database[dict[str, Any]], settings: Settings, senders: Mapping[str, Sender] | None = None
) -> dict[str, Any]:
    """Deliver what is due and say what was given up; return what was done and what still waits, JSON-able.

    With notifications switched off nothing is sent and nothing expires.

    :param senders: replaces the real channels in tests.
    :raises include.errors.TransientError: while MongoDB is away; what was delivered by then is not sent again.
    """
    if not settings.notifications_enabled:
        return {"enabled": False, **_state(db)}
    waiting = outbox_state(db, datetime.now(UTC)).waiting
    given = senders
    if senders is None:
        senders = channel_senders(settings, [channel for channel in all_channels(settings) if channel in waiting])
    report = outbox_of(db, settings).deliver_due(senders, LIMIT, budget_s=BUDGET_S)
    if report.outage is not None:
        raise report.outage
    receipts_of(settings).prune(max(KEPT_S, 2 * settings.message_expires_after_h * 3600))
    said = _say_given_up(db, settings, given)
    return {
        "enabled": True,
        "delivered": report.delivered,
        "failed": report.failed,
        "refused": report.refused,
        "expired": report.expired,
        "errors": report.errors,
        "given_up_said": said,
        **_state(db),
    }


def _say_given_up(db: Database[dict[str, Any]], settings: Settings, senders: Mapping[str, Sender] | None) -> int:
    """Send one message about all deliveries that were given up and not said yet; return of how many messages."""
    with outbox_access("looking for deliveries that were given up"):
        found = list(db[OUTBOX].find({"unsaid": True}, {"title": 1, "severity": 1, "channels": 1, "created_at": 1}))
    if not found:
        return 0
    found.sort(key=lambda document: document["created_at"])
    news = [document for document in found if not str(document["_id"]).startswith(KEY)]  # not about itself for ever
    if news:
        try:
            deliver(db, given_up_message(news), settings, senders)
        except ConfigurationError as error:  # raised after it was sent; said by every task that sends
            log.error("%s", error)
    with outbox_access("noting what was said"):
        for document in found:
            db[OUTBOX].update_one(
                {"_id": document["_id"], "channels": document["channels"]}, {"$set": {"unsaid": False}}
            )
    return len(news)


def _state(db: Database[dict[str, Any]]) -> dict[str, Any]:
    state = outbox_state(db, datetime.now(UTC))
    return {
        "waiting": state.waiting,
        "oldest_at": None if state.oldest_at is None else state.oldest_at.isoformat(),
        "silent_channels": [str(silent) for silent in state.silent_channels],
    }
