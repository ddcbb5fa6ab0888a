"""The sinks on one process: webhooks over HTTP, mail over SMTP, both read back over the control endpoint."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.kit.app import SandboxApp
from sandbox.sinks.inbox import Inbox
from sandbox.sinks.smtp import MailSink, MailTrouble
from sandbox.sinks.webhooks import Webhooks


class SinkService:
    """All sinks and their inbox.

    :param mail_listener: listening socket of the mail server; None: no mail.
    """

    def __init__(self, mail_listener: socket.socket | None = None) -> None:
        self.inbox = Inbox()
        self.mail = MailSink(self.inbox)
        self._mail_listener = mail_listener

    def app(self) -> SandboxApp:
        """Return the application with its control endpoint."""
        service = Starlette(routes=Webhooks(self.inbox).routes(), lifespan=self._lifespan)
        control = [
            Route("/messages", self._messages, methods=["GET"]),
            Route("/messages", self._clear_messages, methods=["DELETE"]),
            Route("/smtp", self._mail_trouble, methods=["POST"]),
        ]
        return SandboxApp("sinks", service, control=control, on_reset=self._reset)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        if self._mail_listener is None:
            yield
            return
        server = await self.mail.serve(self._mail_listener)
        try:
            yield
        finally:
            server.close()

    def _reset(self) -> None:
        self.inbox.clear()
        self.mail.trouble = None

    async def _messages(self, request: Request) -> Response:
        return JSONResponse(self.inbox.listing(request.query_params.get("channel")))

    async def _clear_messages(self, _: Request) -> Response:
        self.inbox.clear()
        return JSONResponse([])

    async def _mail_trouble(self, request: Request) -> Response:
        try:
            self.mail.trouble = MailTrouble(**await request.json())
        except (TypeError, ValueError) as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        return JSONResponse({"trouble": True})
