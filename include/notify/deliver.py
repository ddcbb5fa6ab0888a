"""Keeps a message and sends it at once: outbox first, then every channel of its severity."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pymongo.errors import PyMongoError

from include.errors import ServiceUnavailableError, TransientError
from include.notify.attempt import DEADLINE_S, Outcome, Sender, attempt
from include.notify.channel_state import CLAIM
from include.notify.message import Severity
from include.notify.outbox import DeliveryReport, Outbox, outbox_document
from include.notify.receipts import Receipts, with_receipt
from include.notify.routing import channels_for, known_channels_for
from include.notify.senders import channel_senders
from include.store.collections import OUTBOX
from include.store.durable import spool_of

if TYPE_CHECKING:
    from pathlib import Path

    from pymongo.database import Database

    from include.notify.message import Message
    from include.settings import Settings
    from include.store.spool import Spool

log = logging.getLogger(__name__)

NO_LIMIT = 10_000
"""Messages of a channel that one call delivers before its own; time ends it before that."""


def deliver(
    db: Database[dict[str, Any]] | None,
    message: Message,
    settings: Settings,
    senders: Mapping[str, Sender] | None = None,
) -> dict[str, str]:
    """Keep the message, try every channel of its severity, all at once, and return the state per channel.

    States are `delivered`, `refused` and `pending`: not yet, it is tried again later. With notifications switched off
    the message is kept as a record. While MongoDB is away the channels are tried all the same, and the message waits in
    the spool with what was delivered already. CRITICAL tries also a channel that is left alone after a failure.

    :param db: None when the database is not even configured.
    :param senders: replaces the real channels in tests.
    :raises ConfigurationError: for an unknown channel in the settings, after the message went to the known ones.
    :raises include.errors.TransientError: when neither MongoDB nor the spool can keep what is not delivered.
    """
    channels = known_channels_for(settings, message.severity)
    use = channel_senders(settings, channels) if senders is None else senders
    use = {channel: sender for channel, sender in use.items() if channel in channels}
    receipts = receipts_of(settings)
    states, errors = _through_outbox(db, message, channels, use, settings, receipts)
    if every_channel_failed(states):
        said = "; ".join(f"{channel}: {errors.get(channel) or state}" for channel, state in states.items())
        log.error("%s message %r reached nobody so far: %s", message.severity.upper(), message.title, said)
    channels_for(settings, message.severity)
    return states


def every_channel_failed(states: Mapping[str, str]) -> bool:
    """Tell from a message's states whether it reached nobody, though somebody should have got it."""
    return bool(states) and "delivered" not in states.values()


def outbox_of(db: Database[dict[str, Any]], settings: Settings) -> Outbox:
    """Return the outbox as it is configured."""
    return Outbox(db, receipts=receipts_of(settings), expires_after=timedelta(hours=settings.message_expires_after_h))


def receipts_of(settings: Settings) -> Receipts:
    """Return the notes of what was delivered, on the disk that the workers share."""
    return Receipts(settings.state_dir / "receipts")


def _through_outbox(
    db: Database[dict[str, Any]] | None,
    message: Message,
    channels: tuple[str, ...],
    senders: Mapping[str, Sender],
    settings: Settings,
    receipts: Receipts,
) -> tuple[dict[str, str], dict[str, str | None]]:
    """Return states and errors per channel."""
    key = message.dedupe_key
    report = DeliveryReport()
    try:
        if db is None:
            raise ServiceUnavailableError("MongoDB cannot be reached: the connection mongo_default is not usable")
        outbox = outbox_of(db, settings)
        outbox.put(message, channels)
        hurry = message.severity is Severity.CRITICAL
        report = outbox.deliver_due(senders, NO_LIMIT, until=key, hurry=hurry)
        if report.outage is not None:
            raise report.outage
        states = outbox.states(key)
    except (ServiceUnavailableError, PyMongoError) as error:
        log.warning("the outbox is away, so the message is sent directly and spooled: %s", error)
        tried = {channel: outcome for (of, channel), outcome in report.outcomes.items() if of == key}
        return _without_outbox(message, channels, senders, tried, settings, receipts)
    return states, {
        channel: report.outcomes[key, channel].error for channel in states if (key, channel) in report.outcomes
    }


def _without_outbox(
    message: Message,
    channels: tuple[str, ...],
    senders: Mapping[str, Sender],
    tried: Mapping[str, Outcome],
    settings: Settings,
    receipts: Receipts,
) -> tuple[dict[str, str], dict[str, str | None]]:
    """Spool the message, try the channels that have not been tried, and spool what came of it.

    Messages that wait in MongoDB may be overtaken here: an alert goes out first.
    """
    key = message.dedupe_key
    spool = spool_of(settings)
    before = _keep_before_sending(spool, message, channels)
    outcomes = dict(tried)
    accepted = {channel: Outcome("delivered") for channel in channels if receipts.has(key, channel)}
    outcomes.update(accepted)
    outcomes |= _attempt_all(
        message,
        {name: with_receipt(send, receipts, name) for name, send in senders.items() if name not in outcomes},
    )
    document = outbox_document(message, channels)
    now = datetime.now(UTC)
    for channel, outcome in outcomes.items():
        state = document["channels"][channel]
        state.update(state=outcome.state, error=outcome.error, attempts=1)
        if outcome.state == "delivered":
            state["delivered_at"] = now
        elif outcome.state == "refused":
            state["given_up_at"] = now
            document["unsaid"] = True
    states = {channel: str(state["state"]) for channel, state in document["channels"].items()}
    if states and "pending" not in states.values():
        document["state"] = "delivered" if set(states.values()) == {"delivered"} else "failed"
    try:
        spool.append(OUTBOX, document)
        if before is not None:
            spool.remove(before)
    except TransientError as error:
        if before is not None:
            log.warning("what became of message %r could not be kept, it may be sent again: %s", message.title, error)
        elif "pending" in states.values() or "refused" in states.values() or not states:
            raise
        else:
            log.error("message %r is delivered, but no record of it could be kept: %s", message.title, error)
    return states, {channel: outcome.error for channel, outcome in outcomes.items()}


def _keep_before_sending(spool: Spool, message: Message, channels: tuple[str, ...]) -> Path | None:
    """Spool a message so that it survives the end of this process while it is sent; None where the spool is no use.

    Should MongoDB be back meanwhile, nobody sends it before these attempts have ended.
    """
    document = outbox_document(message, channels)
    for state in document["channels"].values():
        state["not_before"] = datetime.now(UTC) + CLAIM
    try:
        return spool.append(OUTBOX, document)
    except TransientError as error:
        log.error("message %r could not be kept before it is sent: %s", message.title, error)
        return None


def _attempt_all(message: Message, senders: Mapping[str, Sender]) -> dict[str, Outcome]:
    """Try all channels at the same time."""
    outcomes: dict[str, Outcome] = {}

    def work(channel: str, sender: Sender) -> None:
        outcomes[channel] = attempt(sender, message)

    threads = [threading.Thread(target=work, args=item, daemon=True) for item in senders.items()]
    for thread in threads:
        thread.start()
    end = time.monotonic() + DEADLINE_S + 1
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return {channel: outcomes.get(channel, Outcome("pending", "no answer in time")) for channel in senders}
