"""Sends messages as mails through the Airflow connection that the settings name."""

from __future__ import annotations

import smtplib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow.providers.smtp.hooks.smtp import SmtpHook

from include.errors import ConfigurationError
from include.notify.mail import mail_of, post_mail, recipients_of

if TYPE_CHECKING:
    from include.notify.message import Message

TIMEOUT_S = 10


class MailHook(SmtpHook):
    """The provider's hook without its retries, with a time-out of 10 s at most, plain text and inline images."""

    @property
    def smtp_retry_limit(self) -> int:
        """How often the hook tries again by itself: never, that is the outbox's business."""
        return 0

    @property
    def timeout(self) -> int:
        """Seconds a step of the dialogue may take."""
        return min(super().timeout or TIMEOUT_S, TIMEOUT_S)

    def post(self, message: Message, recipients: Sequence[str]) -> str | None:
        """Send the message; see `post_mail`."""
        assert isinstance(self._smtp_client, smtplib.SMTP)
        mail = mail_of(message, self.from_email, recipients, self.smtp_conn_id)
        return post_mail(self._smtp_client, mail, recipients)


class EmailSender:
    """A sender for the outbox, of one attempt.

    :param conn_id: an Airflow connection of type `smtp`, with `from_email` in its extras.
    """

    def __init__(self, conn_id: str, email_to: Sequence[str]) -> None:
        self._conn_id, self._email_to = conn_id, tuple(email_to)

    def __call__(self, message: Message) -> str | None:
        """Send the mail and return a remark when some recipients were refused; for errors see `post_mail`."""
        recipients = recipients_of(self._email_to)
        hook = MailHook(self._conn_id)
        hook.get_connection(self._conn_id)  # says which connection is missing, as the hook itself does not
        try:
            with hook:
                return hook.post(message, recipients)
        except smtplib.SMTPAuthenticationError as error:  # its text may repeat what was sent
            said = f"the mail server refuses the login of {self._conn_id} ({error.smtp_code}): correct the connection"
            raise ConfigurationError(said) from None
