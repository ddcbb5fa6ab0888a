"""Posts messages to Discord through the Airflow connection that the settings name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import requests
from airflow.providers.discord.hooks.discord_webhook import DiscordWebhookHook

from include.notify.discord_payload import discord_payload
from include.notify.http_answers import check_answer, no_answer, retry_after

if TYPE_CHECKING:
    from include.notify.message import Message

TIMEOUT_S = 10
ABOUT_CHANNEL = re.compile(r"Unknown Webhook|Invalid Webhook Token", re.IGNORECASE)


class DiscordSender:
    """A sender for the outbox, of one attempt.

    The hook gives session and address; its `execute` can neither send a colour beside a text nor time out, and its
    warnings show the webhook's token.

    :param conn_id: an Airflow connection of type `discord`: `host`, and `webhook_endpoint` in its extras.
    """

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id

    def __call__(self, message: Message) -> None:
        """Post the message.

        :raises Exception: whatever the connection or Discord does not accept; see `http_answers.check_answer`.
        """
        hook = DiscordWebhookHook(http_conn_id=self._conn_id)
        with hook.get_conn() as session:
            url = hook.url_from_endpoint(hook.webhook_endpoint)
            try:
                answer = session.post(url, json=discord_payload(message), timeout=TIMEOUT_S, allow_redirects=False)
            except requests.RequestException as error:
                raise no_answer("Discord", error) from None
        wait_s = retry_after(answer.headers)
        check_answer("Discord", self._conn_id, answer.status_code, answer.text, wait_s, ABOUT_CHANNEL)
