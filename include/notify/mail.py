"""A message as a mail: plain text always, HTML beside it, images inside of the HTML."""

from __future__ import annotations

import hashlib
import smtplib
from collections.abc import Sequence
from email.message import EmailMessage, MIMEPart
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

from include.errors import ConfigurationError, ServiceUnavailableError
from include.notify.errors import RefusedMessageError
from include.notify.fit import fit, printable
from include.notify.mail_page import mail_html
from include.notify.message import Message, Severity
from include.notify.scrub import scrub

MAX_SUBJECT = 200
TOO_LARGE = (523, 552)


def recipients_of(email_to: Sequence[str]) -> list[str]:
    """Return who gets the mails, each once.

    :raises ConfigurationError: when there is nobody.
    """
    people = list(dict.fromkeys(address.strip() for address in email_to if address.strip()))
    if not people:
        raise ConfigurationError(
            "the channel email has no recipient: set TRADING_OPS_EMAIL_TO, for instance ops@example.com, or take "
            "email out of TRADING_OPS_NOTIFICATION_CHANNELS"
        )
    return people


def mail_of(message: Message, from_email: str | None, recipients: Sequence[str], conn_id: str) -> EmailMessage:
    """Return the mail; the same message has the same `Message-ID`, by which a duplicate is recognised.

    :raises ConfigurationError: without a sender's address.
    """
    if not from_email or "@" not in parseaddr(from_email)[1]:
        raise ConfigurationError(
            f"the connection {conn_id} has no usable sender ({from_email!r}): set from_email in its extras"
        )
    mail = EmailMessage(policy=SMTP)
    subject = fit(printable(f"[{message.severity.upper()}] {message.title}"), MAX_SUBJECT)
    mail["Subject"] = subject.replace("\t", " ")
    mail["From"] = from_email
    mail["To"] = ", ".join(recipients)
    mail["Date"] = format_datetime(message.created_at)
    mail["Message-ID"] = message_id(message.dedupe_key, from_email)
    mail["Auto-Submitted"] = "auto-generated"
    if message.severity is Severity.CRITICAL:
        mail["Importance"] = "high"
    mail.set_content(mail_text(message))
    mail.add_alternative(message.html or mail_html(message), subtype="html")
    page = mail.get_payload(1)
    assert isinstance(page, MIMEPart)
    for image in message.images:
        page.add_related(image.png, "image", "png", cid=f"<{image.name}>", filename=image.name, disposition="inline")
    return mail


def message_id(dedupe_key: str, from_email: str) -> str:
    """Return the `Message-ID` of everything sent under a dedupe key."""
    domain = parseaddr(from_email)[1].rpartition("@")[2]
    return f"<{hashlib.sha256(dedupe_key.encode()).hexdigest()[:40]}@{domain}>"


def mail_text(message: Message) -> str:
    """Return the plain text: what happened, the facts, what the images show, level and time."""
    facts = [f"{name}: {value}" for name, value in message.fields.items()]
    images = [f"[Image: {image.alt}]" for image in message.images]
    end = [f"Level: {message.severity.upper()}", f"Time: {message.created_at:%Y-%m-%d %H:%M:%S} UTC"]
    parts = [[message.body.strip()], facts, images, end]
    return printable("\n\n".join("\n".join(part) for part in parts if any(part))) + "\n"


def post_mail(client: smtplib.SMTP, mail: EmailMessage, recipients: Sequence[str]) -> str | None:
    """Hand the mail to the server; return who does not get it, when the server took it for others.

    :raises RefusedMessageError: the server will never take this mail.
    :raises ServiceUnavailableError: it takes no mail for any of them, or none now.
    """
    try:
        refused = client.send_message(mail, parseaddr(mail["From"])[1], list(recipients))
    except smtplib.SMTPRecipientsRefused as error:
        raise ServiceUnavailableError(
            f"the mail server takes mail for none of the recipients ({_refusals(error.recipients)}): check "
            "TRADING_OPS_EMAIL_TO"
        ) from None
    except smtplib.SMTPSenderRefused as error:
        if error.smtp_code in TOO_LARGE:  # servers that know the size refuse here already
            said = _said(error.smtp_code, error.smtp_error)
            raise RefusedMessageError(f"the mail server refuses this mail ({said})") from None
        raise ServiceUnavailableError(
            f"the mail server refuses the sender {error.sender} ({_said(error.smtp_code, error.smtp_error)})"
        ) from None
    except smtplib.SMTPDataError as error:
        said = _said(error.smtp_code, error.smtp_error)
        if error.smtp_code >= 500:
            raise RefusedMessageError(f"the mail server refuses this mail ({said})") from None
        raise ServiceUnavailableError(f"the mail server does not take the mail now ({said})") from None
    return f"not delivered to {_refusals(refused)}" if refused else None


def _refusals(refused: dict[str, tuple[int, bytes]]) -> str:
    return "; ".join(f"{address}: {_said(*answer)}" for address, answer in refused.items())


def _said(code: int, text: bytes | str) -> str:
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return scrub(f"{code} {' '.join(words.split())[:200]}")
