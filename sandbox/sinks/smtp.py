"""A mail server that keeps every mail, and can be told to refuse."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from sandbox.sinks.inbox import Inbox


@dataclass
class MailTrouble:
    """A refusal for the next mails."""

    reply: str = "451 4.3.0 Temporary failure, try again later"
    times: int | None = None
    delay_s: float = 0.0
    drop: bool = False


class MailSink:
    """The handler of aiosmtpd: takes mail for anybody, with or without a login."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self.trouble: MailTrouble | None = None

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: ARG002
        """Take or refuse a mail."""
        trouble = self._next_trouble()
        if trouble is not None:
            await asyncio.sleep(trouble.delay_s)
            if trouble.drop and isinstance(server.transport, asyncio.Transport):
                server.transport.abort()
                return "421 4.3.2 closing"
            if trouble.reply:
                return trouble.reply
        content = envelope.original_content or b""
        self._inbox.add("smtp", _describe(envelope, content))
        return "250 2.0.0 OK: queued"

    def _next_trouble(self) -> MailTrouble | None:
        trouble = self.trouble
        if trouble is not None and trouble.times is not None:
            trouble.times -= 1
            if trouble.times <= 0:
                self.trouble = None
        return trouble

    async def serve(self, listener: socket.socket) -> asyncio.Server:
        """Serve on a listening socket, in the running event loop."""

        def session() -> SMTP:
            return SMTP(self, hostname="sandbox", authenticator=_anybody, auth_require_tls=False)

        return await asyncio.get_running_loop().create_server(session, sock=listener)


def _anybody(*_: Any) -> AuthResult:
    return AuthResult(success=True)


def _describe(envelope: Envelope, content: bytes) -> dict[str, Any]:
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    parts = [part for part in message.walk() if not part.is_multipart()]
    texts = [part for part in parts if part.get_content_maintype() == "text"]
    bodies = {part.get_content_type(): part.get_content().replace("\r\n", "\n") for part in texts}
    attachments = [
        {
            "name": part.get_filename(),
            "type": part.get_content_type(),
            "size": len(part.get_payload(decode=True) or b""),
        }
        for part in parts
        if part.get_content_maintype() != "text" or part.get_filename()
    ]
    return {
        "mail_from": envelope.mail_from,
        "rcpt_to": list(envelope.rcpt_tos),
        "subject": str(message["subject"] or ""),
        "headers": {name: str(value) for name, value in message.items()},
        "text": bodies.get("text/plain", ""),
        "html": bodies.get("text/html", ""),
        "attachments": attachments,
    }
