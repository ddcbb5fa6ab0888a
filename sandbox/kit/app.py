"""The shell around every stand-in: scripted behaviours, recorded requests, the control endpoint.

Everything below `/__sandbox__/` belongs to the control endpoint, every other path to the service.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.kit.behaviour import Behaviour, BehaviourBook, BehaviourError

CONTROL_PREFIX = "/__sandbox__"
TRANSPORT_KEY = "sandbox.transport"
MAX_RECORDED = 10_000


@dataclass(frozen=True)
class RecordedRequest:
    """A request that the service received; `time` in seconds since the epoch, `status` None when dropped."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: str
    time: float
    status: int | None


class SandboxApp:
    """An ASGI application that wraps a service.

    :param name: the service's name, for `ready`.
    :param service: the service's own ASGI application.
    :param control: further routes below the control prefix, paths without the prefix.
    :param on_reset: called by `reset`, puts the service's own state back to its defaults.
    """

    def __init__(
        self,
        name: str,
        service: ASGIApp,
        *,
        control: Sequence[Route] = (),
        on_reset: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self.book = BehaviourBook()
        self.requests: deque[RecordedRequest] = deque(maxlen=MAX_RECORDED)
        self._service = service
        self._on_reset = on_reset
        own = [
            Route("/ready", self._ready, methods=["GET"]),
            Route("/behaviours", self._add_behaviour, methods=["POST"]),
            Route("/behaviours", self._clear_behaviours, methods=["DELETE"]),
            Route("/requests", self._list_requests, methods=["GET"]),
            Route("/requests", self._clear_requests, methods=["DELETE"]),
            Route("/reset", self._reset, methods=["POST"]),
        ]
        self._control = Starlette(routes=[*own, *control])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._service(scope, receive, send)
        elif scope["path"].startswith(CONTROL_PREFIX + "/"):
            inner = dict(scope, path=scope["path"].removeprefix(CONTROL_PREFIX), root_path="")
            await self._control(inner, receive, send)
        else:
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _read_body(receive)
        status: int | None = None

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        received = time.time()
        behaviour = self.book.take(scope["method"], scope["path"])
        try:
            await self._behave(behaviour, scope, _replay(body, receive), watch)
        finally:
            self.requests.append(_record(scope, body, received, status))

    async def _behave(self, behaviour: Behaviour | None, scope: Scope, receive: Receive, send: Send) -> None:
        if behaviour is None:
            await self._service(scope, receive, send)
            return
        if behaviour.delay_s:
            await asyncio.sleep(behaviour.delay_s)
        if behaviour.drop:
            scope[TRANSPORT_KEY].abort()
            await _until_disconnected(receive)
            return
        if behaviour.replaces_answer:
            status, headers, body = behaviour.answer()
        else:
            if not behaviour.truncate:
                await self._service(scope, receive, send)
                return
            status, headers, body = await _collect(self._service, scope, receive)
        response = Response(body, status_code=status)
        response.headers.update(headers)
        if behaviour.truncate:
            await send({"type": "http.response.start", "status": status, "headers": response.raw_headers})
            await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
            scope[TRANSPORT_KEY].close()
            await _until_disconnected(receive)
            return
        await response(scope, receive, send)

    async def _ready(self, _: Request) -> Response:
        return JSONResponse({"service": self.name, "pid": os.getpid()})

    async def _add_behaviour(self, request: Request) -> Response:
        try:
            self.book.add(Behaviour.from_json(await request.json()))
        except (BehaviourError, TypeError, ValueError) as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        return JSONResponse({"behaviours": len(self.book)})

    async def _clear_behaviours(self, _: Request) -> Response:
        self.book.clear()
        return JSONResponse({"behaviours": 0})

    async def _list_requests(self, _: Request) -> Response:
        return JSONResponse([asdict(request) for request in self.requests])

    async def _clear_requests(self, _: Request) -> Response:
        self.requests.clear()
        return JSONResponse([])

    async def _reset(self, _: Request) -> Response:
        self.book.clear()
        self.requests.clear()
        if self._on_reset is not None:
            self._on_reset()
        return JSONResponse({"reset": self.name})


def _record(scope: Scope, body: bytes, received: float, status: int | None) -> RecordedRequest:
    query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    return RecordedRequest(
        method=scope["method"],
        path=scope["path"],
        query={name: values[-1] for name, values in query.items()},
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        body=body.decode("utf-8", "replace"),
        time=received,
        status=status,
    )


async def _read_body(receive: Receive) -> bytes:
    chunks: list[bytes] = []
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(chunks)


def _replay(body: bytes, receive: Receive) -> Receive:
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return pending.pop() if pending else await receive()

    return again


async def _until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _collect(app: ASGIApp, scope: Scope, receive: Receive) -> tuple[int, dict[str, str], bytes]:
    messages: list[Any] = []

    async def keep(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, keep)
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in messages[0]["headers"]}
    return messages[0]["status"], headers, b"".join(message.get("body", b"") for message in messages[1:])
