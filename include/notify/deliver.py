"""Keeps a message and sends it at once: outbox first, then every configured channel."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from include.errors import ServiceUnavailableError
from include.notify.outbox import Outbox, Sender, outbox_document
from include.notify.scrub import scrub
from include.store.collections import OUTBOX
from include.store.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymongo.database import Database

    from include.notify.message import Message
    from include.settings import Settings

log = logging.getLogger(__name__)

BACKLOG = 20
"""Older messages that one call tries to deliver besides its own."""


def deliver(
    db: Database[dict[str, Any]], message: Message, settings: Settings, senders: Mapping[str, Sender] | None = None
) -> dict[str, str]:
    """Keep the message, try every channel once, and return the state per channel.

    A channel that fails, or that has no sender yet, stays `pending`. With notifications switched off the
    message is kept as a record. While MongoDB is away the channels are tried all the same, and the message waits in
    the spool with what was delivered already.

    :param senders: replaces the real channels in tests.
    :raises include.errors.TransientError: when neither MongoDB nor the spool can keep it.
    """
    channels = settings.notification_channels if settings.notifications_enabled else ()
    use = channel_senders(settings) if senders is None else dict(senders)
    use = {channel: sender for channel, sender in use.items() if channel in channels}
    outbox = Outbox(db)
    try:
        outbox.put(message, channels)
        outbox.deliver_now(use, limit=BACKLOG + 1)
        return outbox.states(message.dedupe_key)
    except ServiceUnavailableError as error:
        log.warning("the outbox is away, so the message is sent directly and spooled: %s", error)
        return _without_outbox(message, channels, use, Spool(settings.spool_dir))


def channel_senders(settings: Settings) -> dict[str, Sender]:
    """Return the senders of the channels that this bundle knows."""
    from include.notify.slack import SlackSender  # imports airflow

    return {"slack": SlackSender(settings.slack_conn_id)}


def _without_outbox(
    message: Message, channels: tuple[str, ...], senders: Mapping[str, Sender], spool: Spool
) -> dict[str, str]:
    document = outbox_document(message, channels)
    for channel, sender in senders.items():
        state = document["channels"][channel]
        state["attempts"] = 1
        try:
            sender(message)
        except Exception as error:  # noqa: BLE001 - a channel may fail in any way and must hurt nobody else
            state["error"] = scrub(f"{type(error).__name__}: {error}")[:500]
        else:
            state.update(state="delivered", delivered_at=datetime.now(UTC))
    states = {channel: str(state["state"]) for channel, state in document["channels"].items()}
    if states and set(states.values()) == {"delivered"}:
        document["state"] = "delivered"
    spool.append(OUTBOX, document)
    return states
