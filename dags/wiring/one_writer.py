"""In Airflow's API server on SQLite, requests that change something are served one after the other.

SQLite has one writer at a time, and who wants to write waits up to a minute for the one before. Airflow's API server
notes every person's change in its audit log, and does so on the thread of its event loop. Where another request of the
same process has just written and not committed yet, that wait is a deadlock: the commit needs the event loop, which
waits for the commit. Nothing is answered for a minute then, and the change is refused with "Database error".

Requests that only read are not held up. Another database has no need of this (`plugins/trading_ops_one_writer.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

READING = frozenset({"GET", "HEAD", "OPTIONS"})


class OneWriter:
    """Middleware (ASGI) that lets one changing request at a time into the application; the others wait in turn."""

    def __init__(self, app: Application) -> None:
        self.app = app
        self._turn = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http" or scope["method"] in READING:
            await self.app(scope, receive, send)
            return
        # Before its turn: nobody waits for a caller who sends slowly.
        received = await _whole_body(receive)

        async def receive_again() -> Message:
            return received.pop(0) if received else await receive()

        async with self._turn:
            await self.app(scope, receive_again, send)


async def _whole_body(receive: Receive) -> list[Message]:
    """Return the messages that a request consists of, up to its end or its caller's leaving."""
    messages = [await receive()]
    while messages[-1]["type"] == "http.request" and messages[-1].get("more_body", False):
        messages.append(await receive())
    return messages
