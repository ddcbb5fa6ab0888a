"""Posts messages to Slack through the Airflow connection that the settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook

from include.notify.slack_payload import slack_payload

if TYPE_CHECKING:
    from include.notify.message import Message

TIMEOUT_S = 10


class SlackSender:
    """A sender for the outbox: `Outbox(db).deliver_now({"slack": SlackSender(settings.slack_conn_id)})`.

    :param conn_id: an Airflow connection of type `slackwebhook`.
    """

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id

    def __call__(self, message: Message) -> None:
        """Post the message.

        :raises Exception: whatever the connection or Slack does not accept; the outbox records it.
        """
        hook = SlackWebhookHook(slack_webhook_conn_id=self._conn_id, timeout=TIMEOUT_S)
        hook.send_dict(slack_payload(message))
