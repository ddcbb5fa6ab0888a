"""Posts messages to Slack through the Airflow connection that the settings name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook

from include.errors import MalformedAnswerError
from include.notify.http_answers import check_answer, no_answer, retry_after
from include.notify.slack_payload import slack_payload

if TYPE_CHECKING:
    from include.notify.message import Message

TIMEOUT_S = 10
ABOUT_CHANNEL = re.compile(r"no_service|no_team|no_active_hooks|team_disabled|invalid_token|_not_found|_is_archived")


class SlackSender:
    """A sender for the outbox, of one attempt: the hook's client is used without its retries.

    :param conn_id: an Airflow connection of type `slackwebhook`.
    """

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id

    def __call__(self, message: Message) -> None:
        """Post the message.

        :raises Exception: whatever the connection or Slack does not accept; see `http_answers.check_answer`.
        """
        hook = SlackWebhookHook(slack_webhook_conn_id=self._conn_id, timeout=TIMEOUT_S, retry_handlers=[])
        client = hook.get_conn()
        try:
            answer = client.send_dict(slack_payload(message))
        except (OSError, ValueError) as error:  # urllib's errors are OSErrors; half an answer is a ValueError
            raise no_answer("Slack", error) from None
        headers = dict(answer.headers.items())
        check_answer("Slack", self._conn_id, answer.status_code, answer.body, retry_after(headers), ABOUT_CHANNEL)
        if answer.body.strip() != "ok":
            raise MalformedAnswerError(f"Slack answered HTTP {answer.status_code} without its `ok`: is it Slack?")
