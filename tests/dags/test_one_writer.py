"""Changing requests to the API server on SQLite: one after the other, and nobody else waits."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dags.wiring.one_writer import Message, OneWriter, Receive, Scope, Send
from ops.run_dir import REPOSITORY

LIMIT_S = 30.0


class Served:
    """An application that serves a request until it is told to end it, and what it has served."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.bodies: list[bytes] = []
        self.may_end: dict[str, asyncio.Event] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        self.began.append(path)
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
        self.bodies.append(body)
        await self.may_end.setdefault(path, asyncio.Event()).wait()
        if path == "/broken":
            raise RuntimeError(path)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    def end(self, path: str) -> None:
        self.may_end.setdefault(path, asyncio.Event()).set()


def request(app: OneWriter, method: str, path: str, parts: Iterator[Message] | None = None) -> asyncio.Task[None]:
    """Begin a request; `parts` are its messages, after which its caller says nothing more."""
    messages = parts or iter([{"type": "http.request", "body": path.encode(), "more_body": False}])

    async def receive() -> Message:
        for message in messages:
            return message
        await asyncio.Event().wait()
        raise AssertionError

    async def send(_: Message) -> None:
        return None

    async def serve() -> None:
        await app({"type": "http", "method": method, "path": path}, receive, send)

    return asyncio.create_task(serve())


async def as_far_as_it_gets() -> None:
    """Let every task run until it waits for something."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_who_changes_something_waits_for_the_one_before_and_who_reads_does_not() -> None:
    async def story() -> None:
        served = Served()
        app = OneWriter(served)
        first, second = request(app, "POST", "/first"), request(app, "PATCH", "/second")
        reading = request(app, "GET", "/reading")
        await as_far_as_it_gets()
        assert sorted(served.began) == ["/first", "/reading"]
        served.end("/reading")
        await asyncio.wait_for(reading, LIMIT_S)
        assert not second.done()
        served.end("/first")
        await asyncio.wait_for(first, LIMIT_S)
        await as_far_as_it_gets()
        assert served.began[2:] == ["/second"]
        served.end("/second")
        await asyncio.wait_for(second, LIMIT_S)
        assert served.bodies == [path.encode() for path in served.began], "each with its own body"

    asyncio.run(story())


def test_who_sends_slowly_holds_nobody_up_and_loses_nothing() -> None:
    async def story() -> None:
        served = Served()
        app = OneWriter(served)
        served.end("/quick")
        served.end("/slow")
        beginning: list[Message] = [{"type": "http.request", "body": b"be", "more_body": True}]
        slow = request(app, "PUT", "/slow", iter(beginning))
        await as_far_as_it_gets()
        await asyncio.wait_for(request(app, "PUT", "/quick"), LIMIT_S)
        assert served.began == ["/quick"]
        slow.cancel()
        parts: list[Message] = [*beginning, {"type": "http.request", "body": b"gin", "more_body": False}]
        await asyncio.wait_for(request(app, "PUT", "/slow", iter(parts)), LIMIT_S)
        assert served.bodies == [b"/quick", b"begin"]

    asyncio.run(story())


@pytest.mark.parametrize("how", ["broken", "left"])
def test_after_one_that_failed_or_whose_caller_left_the_next_is_served(how: str) -> None:
    async def story() -> None:
        served = Served()
        app = OneWriter(served)
        bad, good = request(app, "POST", f"/{how}"), request(app, "POST", "/good")
        await as_far_as_it_gets()
        if how == "left":
            bad.cancel()
        served.end(f"/{how}")
        served.end("/good")
        await asyncio.wait_for(good, LIMIT_S)
        with pytest.raises((RuntimeError, asyncio.CancelledError)):
            await bad

    asyncio.run(story())


@pytest.mark.parametrize(
    ("database", "wanted"),
    [("sqlite:////nowhere/airflow.db?timeout=60", "[OneWriter]"), ("postgresql+psycopg://u:p@127.0.0.1/d", "[]")],
    ids=["SQLite", "PostgreSQL"],
)
def test_only_an_api_server_on_sqlite_has_it(tmp_path: Path, database: str, wanted: str) -> None:
    asks = (
        "from plugins.trading_ops_one_writer import TradingOpsOneWriter as plugin\n"
        "print([one['middleware'].__name__ for one in plugin.fastapi_root_middlewares])"
    )
    env = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW_CONFIG": str(REPOSITORY / "airflow.cfg"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        "TRADING_OPS_ROOT": str(REPOSITORY),
        "PYTHONPATH": str(REPOSITORY),
    }
    answer = subprocess.run([sys.executable, "-c", asks], env=env, capture_output=True, text=True, check=True)
    assert answer.stdout.split("\n")[-2].replace("'", "") == wanted
