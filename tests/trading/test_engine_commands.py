"""Commands to an engine that answers as specified, as shipped, and badly."""

from __future__ import annotations

import json
from typing import Any

import pytest

from include.errors import MalformedAnswerError, ServiceUnavailableError, TransientError
from include.trading.engine_commands import CommandRefusedError, EndpointMissingError, EngineCommands
from sandbox.mongod import free_port
from tests.trading.engine_answers import envelope
from tests.trading.loopback import LoopbackServer, Reply, as_json

DISABLE, ENABLE, ACTIVE = "/api/strategies/rsi/disable", "/api/strategies/rsi/enable", "/api/strategies/active"
HTML = Reply(200, b"<html>welcome</html>", "text/html")


@pytest.fixture
def commands(engine: LoopbackServer) -> EngineCommands:
    return EngineCommands(engine.url, timeout_s=10)


@pytest.mark.parametrize(
    ("data", "cancelled"),
    [
        ({"strategy": "rsi", "disabled": True, "pending_signals_cancelled": 3}, 3),
        ({"disabled": True}, 0),
        ({"pending_signals_cancelled": "3"}, 0),
        ({"pending_signals_cancelled": True}, 0),
        ({"pending_signals_cancelled": -1}, 0),
        ("done", 0),
    ],
)
def test_disable_reports_what_the_engine_says_it_cancelled(
    engine: LoopbackServer, commands: EngineCommands, data: object, cancelled: int
) -> None:
    engine.routes[DISABLE] = as_json(envelope(data))
    assert commands.disable_strategy("rsi") == cancelled
    assert [(asked.method, asked.path) for asked in engine.asked] == [("POST", DISABLE)]


def test_empty_answer_of_a_good_status_is_accepted(engine: LoopbackServer, commands: EngineCommands) -> None:
    engine.routes[DISABLE] = Reply(204, b"", None)
    assert commands.disable_strategy("rsi") == 0


def test_name_is_quoted_into_the_address(engine: LoopbackServer, commands: EngineCommands) -> None:
    with pytest.raises(EndpointMissingError):
        commands.disable_strategy("My Grid/../x")
    assert engine.asked[0].path == "/api/strategies/My%20Grid%2F..%2Fx/disable"


@pytest.mark.parametrize(
    ("reply", "error", "says"),
    [
        (Reply(404, b"", None), EndpointMissingError, "404 and an empty body; this engine cannot do that"),
        (Reply(405, b"HTTP method not allowed", "text/plain"), EndpointMissingError, "405: HTTP method not allowed"),
        (as_json(envelope(None, False, "Unknown strategy: rsi"), 404), EndpointMissingError, "Unknown strategy: rsi"),
        (as_json(envelope(None, False, "not now"), 400), CommandRefusedError, "status 400, error: 'not now'"),
        (Reply(403, b"forbidden", "text/plain"), CommandRefusedError, "status 403"),
        (Reply(429, b"", None), ServiceUnavailableError, "status 429"),
        (Reply(500, b"", None), ServiceUnavailableError, "status 500"),
        (Reply(503, b"<html>", "text/html"), ServiceUnavailableError, "status 503"),
        (as_json(envelope(None, False, "locked")), ServiceUnavailableError, "success: false.*locked"),
        (as_json(envelope({"disabled": False})), ServiceUnavailableError, "disabled: false, so rsi still trades"),
        (HTML, MalformedAnswerError, "text/html.*instead of JSON"),
        (Reply(200, b'{"success": tr'), MalformedAnswerError, "broken JSON"),
        (Reply(drop=True), ServiceUnavailableError, "cannot be reached"),
    ],
)
def test_each_bad_answer_says_what_helps_and_is_asked_for_once(
    engine: LoopbackServer, commands: EngineCommands, reply: Reply, error: type[Exception], says: str
) -> None:
    engine.routes[DISABLE] = reply
    with pytest.raises(error, match=rf"(?s)engine POST {DISABLE} at 127.0.0.1:\d+.*{says}"):
        commands.disable_strategy("rsi")
    assert len(engine.asked) == 1
    assert issubclass(error, TransientError) == (error in (ServiceUnavailableError, MalformedAnswerError))


@pytest.mark.parametrize("reply", [Reply(late=True), Reply(trickle=True)], ids=["silent", "trickling"])
def test_slow_engine_is_given_up(engine: LoopbackServer, reply: Reply) -> None:
    engine.script(reply)
    with pytest.raises(ServiceUnavailableError, match=r"in 0\.3 s"):
        EngineCommands(engine.url, timeout_s=0.3).disable_strategy("rsi")


def test_no_engine_at_all() -> None:
    with pytest.raises(ServiceUnavailableError, match="is the engine running"):
        EngineCommands(f"http://127.0.0.1:{free_port()}", 2).disable_strategy("rsi")


@pytest.mark.parametrize(
    ("reply", "names"),
    [
        (as_json(["rsi", "MACD Strategy"]), {"rsi", "macd"}),
        (as_json([]), set()),
        (as_json(envelope(["Volume Strategy", "Grid"])), {"volume", "Grid"}),
        (Reply(404, b"", None), None),
        (Reply(405, b"HTTP method not allowed", "text/plain"), None),
    ],
)
def test_active_strategies_by_their_short_names(
    engine: LoopbackServer, commands: EngineCommands, reply: Reply, names: set[str] | None
) -> None:
    engine.routes[ACTIVE] = reply
    assert commands.active_strategies() == names


@pytest.mark.parametrize(
    "reply", [HTML, Reply(500, b"[]", "application/json"), as_json(envelope({})), as_json([1]), Reply(200, b'["rsi"')]
)
def test_list_that_cannot_be_believed_is_no_list(
    engine: LoopbackServer, commands: EngineCommands, reply: Reply
) -> None:
    engine.routes[ACTIVE] = reply
    with pytest.raises(TransientError):
        commands.active_strategies()


def test_enable_is_believed_only_when_the_engine_does_not_deny_it(
    engine: LoopbackServer, commands: EngineCommands
) -> None:
    engine.routes[ENABLE] = as_json(envelope({"strategy": "rsi", "disabled": False}))
    commands.enable_strategy("rsi")
    engine.routes[ENABLE] = as_json(envelope({"disabled": True}))
    with pytest.raises(ServiceUnavailableError, match="does not trade"):
        commands.enable_strategy("rsi")


def test_settings_are_sent_as_the_engine_wants_them(engine: LoopbackServer, commands: EngineCommands) -> None:
    basic, whole = "/api/paper-trading/basic-settings", "/api/paper-trading/strategy-settings"
    engine.routes |= {basic: as_json(envelope({"message": "x"})), whole: as_json(envelope({"message": "x"}))}
    commands.change_basic_settings({"short_only_mode": True})
    commands.replace_strategy_settings({"engine": {}})
    sent: list[Any] = [(asked.method, asked.path, json.loads(asked.body)) for asked in engine.asked]
    assert sent == [("PUT", basic, {"short_only_mode": True}), ("PUT", whole, {"settings": {"engine": {}}})]
