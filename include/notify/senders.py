"""The senders of the channels that this bundle knows."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from include.notify.attempt import Sender
    from include.notify.message import Message
    from include.settings import Settings

log = logging.getLogger(__name__)


def channel_senders(settings: Settings, channels: Iterable[str]) -> dict[str, Sender]:
    """Return a sender for each of the channels; connections are looked up when something is sent.

    Only the hooks that are needed are imported, here and not in the threads that send. One that cannot be imported
    fails as its channel and stops no other.
    """
    senders: dict[str, Sender] = {}
    for channel in channels:
        try:
            senders[channel] = _sender(channel, settings)
        except Exception as error:  # noqa: BLE001 - a provider that is missing or broken must hurt nobody else
            log.error("the channel %s cannot be used: %s: %s", channel, type(error).__name__, error)
            senders[channel] = _failing(error)
    return senders


def _sender(channel: str, settings: Settings) -> Sender:
    match channel:
        case "email":
            from include.notify.email import EmailSender

            return EmailSender(settings.smtp_conn_id, settings.email_to)
        case "slack":
            from include.notify.slack import SlackSender

            return SlackSender(settings.slack_conn_id)
        case "discord":
            from include.notify.discord import DiscordSender

            return DiscordSender(settings.discord_conn_id)
        case "telegram":
            from include.notify.telegram import TelegramSender

            return TelegramSender(settings.telegram_conn_id)
    raise ValueError(f"{channel!r} is no channel")


def _failing(error: Exception) -> Sender:
    def send(_: Message) -> None:
        raise error

    return send
