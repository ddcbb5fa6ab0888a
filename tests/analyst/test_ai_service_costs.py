"""The AI service's cost statistics over real HTTP, against a scripted server and the sandbox's stand-in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from include.analyst.ai_service_costs import PATH, NoCostStatisticsError, parse_cost_statistics, read_cost_statistics
from include.errors import BadInputError, MalformedAnswerError, ServiceUnavailableError
from sandbox.ai_service.costs import SessionCosts, cost_statistics
from sandbox.control import Control
from sandbox.launcher import Sandbox
from tests.trading.loopback import LoopbackServer, Reply, as_json, loopback

ANSWER = cost_statistics(SessionCosts(234, 4000, 900, 1.87), "2025-11-22T09:00:00+00:00")


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    with loopback() as running:
        yield running


def test_the_shipped_service_is_read_through_its_bare_json(sandbox: Sandbox, control: Control) -> None:
    control.ai_state(costs={"requests": 234, "input_tokens": 4000, "output_tokens": 900, "cost_usd": 1.87})
    found = read_cost_statistics(sandbox.urls["ai_service"], 10)
    assert (found.requests, found.input_tokens, found.output_tokens, found.cost_usd) == (234, 4000, 900, 1.87)
    assert found.model == "grok-4-1-fast-non-reasoning"
    assert found.daily_projection_usd is not None


def test_a_revision_without_the_path_is_not_available(server: LoopbackServer) -> None:
    server.script(as_json({"detail": "Not Found"}, 404))
    with pytest.raises(NoCostStatisticsError, match="404"):
        read_cost_statistics(server.url, 5)


@pytest.mark.parametrize(
    ("reply", "error", "word"),
    [
        (as_json({"error": "Rate limit exceeded: 60 per 1 minute"}, 429), ServiceUnavailableError, "429"),
        (Reply(500, b"oops", "text/plain"), ServiceUnavailableError, "500"),
        (Reply(drop=True), ServiceUnavailableError, "cannot be reached"),
        (Reply(trickle=True), ServiceUnavailableError, "did not finish"),
        (Reply(200, b"<html>maintenance</html>", "text/html"), MalformedAnswerError, "maintenance"),
        (Reply(200, b'{"session_statistics": {'), MalformedAnswerError, "broken JSON"),
        (Reply(500, b"mongodb://ops:hunter2@db/ is away"), ServiceUnavailableError, r"mongodb://\*\*\*@db/ is away"),
        (Reply(200, b'{"session_statistics": {"total_requests": NaN}}'), MalformedAnswerError, "NaN"),
        (as_json({"success": True, "data": ANSWER}), MalformedAnswerError, "session_statistics"),
        (as_json([]), MalformedAnswerError, "session_statistics"),
    ],
    ids=["rate_limit", "error", "hang_up", "trickle", "html", "half", "secret", "nan", "enveloped", "list"],
)
def test_tc_async_048_everything_else_is_an_error_that_says_what_came(
    server: LoopbackServer, reply: Reply, error: type[Exception], word: str
) -> None:
    server.script(reply)
    with pytest.raises(error, match=word) as raised:
        read_cost_statistics(server.url, 0.5 if reply.trickle else 5)
    assert PATH in str(raised.value)


def test_a_service_that_waits_for_a_dead_engine_is_given_up(server: LoopbackServer) -> None:
    server.script(Reply(late=True))
    with pytest.raises(ServiceUnavailableError, match="is the engine down"):
        read_cost_statistics(server.url, 0.3)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "127.0.0.1:1", "http://a:b:c", ""])
def test_an_address_that_is_none_is_bad_input(url: str) -> None:
    with pytest.raises(BadInputError, match="address"):
        read_cost_statistics(url, 1)


@pytest.mark.parametrize("value", [None, "1.87", True, -0.01, float("inf"), 1e13])
def test_a_cost_that_is_no_cost_is_refused_and_never_zero(value: Any) -> None:
    answer = {**ANSWER, "session_statistics": {**ANSWER["session_statistics"], "total_cost_usd": value}}
    with pytest.raises(MalformedAnswerError, match="total_cost_usd"):
        parse_cost_statistics(answer, "it")


def test_half_a_request_is_no_count() -> None:
    answer = {**ANSWER, "session_statistics": {**ANSWER["session_statistics"], "total_requests": 1.5}}
    with pytest.raises(MalformedAnswerError, match="total_requests"):
        parse_cost_statistics(answer, "it")
