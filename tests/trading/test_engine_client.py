"""The engine client against a real HTTP server that answers as the engine does, well and badly."""

from __future__ import annotations

import pytest

from include.errors import BadInputError, MalformedAnswerError, ServiceUnavailableError
from include.trading.engine_client import EngineClient
from sandbox.mongod import free_port
from tests.trading.engine_answers import CLOSED, PORTFOLIO, envelope, trade
from tests.trading.loopback import LoopbackServer, Reply, as_json


def test_health_is_the_text_of_the_envelope(engine: LoopbackServer, client: EngineClient) -> None:
    engine.routes["/api/health"] = as_json({"success": True, "data": "Bot is running", "error": None})
    assert client.health() == "Bot is running"


def test_portfolio_reads_the_inside_of_the_envelope(engine: LoopbackServer, client: EngineClient) -> None:
    engine.routes["/api/paper-trading/portfolio"] = as_json(envelope(PORTFOLIO))
    portfolio = client.portfolio()
    assert portfolio.equity == 10560.0
    assert portfolio.total_trades == 47


def test_infinite_profit_factor_comes_as_null_and_stays_none(engine: LoopbackServer, client: EngineClient) -> None:
    engine.routes["/api/paper-trading/portfolio"] = as_json(envelope({**PORTFOLIO, "profit_factor": None}))
    assert client.portfolio().profit_factor is None


def test_portfolio_without_a_key_names_it(engine: LoopbackServer, client: EngineClient) -> None:
    broken = {key: value for key, value in PORTFOLIO.items() if key not in ("equity", "free_margin")}
    engine.routes["/api/paper-trading/portfolio"] = as_json(envelope(broken))
    with pytest.raises(MalformedAnswerError, match=r"/api/paper-trading/portfolio .*lacks equity, free_margin"):
        client.portfolio()


def test_closed_trades_come_sorted_and_once(engine: LoopbackServer, client: EngineClient) -> None:
    rows = [trade(2.0, id="b"), trade(-1.0, id="a"), trade(2.0, id="b")]
    rows[0]["close_time"] = rows[2]["close_time"] = "2025-11-21T23:00:00Z"
    engine.routes[CLOSED] = as_json(envelope(rows))
    assert [row.id for row in client.closed_trades()] == ["a", "b"]
    assert engine.asked[0].path == CLOSED


@pytest.mark.parametrize(
    ("reply", "error", "says"),
    [
        (as_json(envelope(None, False, "Not ready")), ServiceUnavailableError, "success: false.*Not ready"),
        (as_json(envelope(None, False, "database"), 500), ServiceUnavailableError, "status 500, error: 'database'"),
        (as_json(envelope(None, False, "bad value"), 400), ServiceUnavailableError, "status 400.*bad value"),
        (Reply(404, content_type=None), ServiceUnavailableError, "status 404 and an empty body; it has no such path"),
        (Reply(405, b"HTTP method not allowed", "text/plain"), ServiceUnavailableError, "405.*method not allowed"),
        (Reply(502, b"<html>bad gateway</html>", "text/html"), ServiceUnavailableError, "502.*bad gateway"),
        (Reply(302, b"", "text/html", {"location": "/login"}), ServiceUnavailableError, "status 302"),
        (Reply(200, b"<html>login</html>", "text/html; charset=x"), MalformedAnswerError, "text/html.*instead of JSON"),
        (Reply(200, b""), MalformedAnswerError, "broken JSON.*an empty body"),
        (Reply(200, b'{"success": tru'), MalformedAnswerError, "broken JSON"),
        (Reply(200, b"[" * 100_000), MalformedAnswerError, "broken JSON"),
        (Reply(200, b'{"success": true, "data": [NaN]}'), MalformedAnswerError, "the number NaN"),
        (Reply(200, b"[1, 2]"), MalformedAnswerError, "without the key `success`"),
        (as_json({"data": []}), MalformedAnswerError, "without the key `success`"),
        (as_json({"success": "yes", "data": []}), MalformedAnswerError, "without the key `success`"),
        (as_json({"success": True, "error": None}), MalformedAnswerError, "without `data`"),
        (as_json(envelope({"trades": []})), MalformedAnswerError, "instead of a list of trades"),
        (as_json(envelope([trade(id=None)])), MalformedAnswerError, "1 of 1 trades cannot be believed.*id None"),
    ],
)  # fmt: skip
def test_each_bad_answer_is_a_specific_error_that_names_the_path(
    engine: LoopbackServer, client: EngineClient, reply: Reply, error: type[Exception], says: str
) -> None:
    engine.routes[CLOSED] = reply
    with pytest.raises(error, match=rf"(?s)engine GET {CLOSED} at 127.0.0.1:\d+.*{says}"):
        client.closed_trades()


@pytest.mark.parametrize(
    "reply",
    [
        Reply(502, b"<html>%s mongodb://ops:hunter2@db/</html>" % (b"x" * 170), "text/html"),
        as_json(envelope(None, False, "x" * 270 + " mongodb://ops:hunter2@db/"), 500),
        as_json(envelope(None, False, "x" * 270 + " mongodb://ops:hunter2@db/")),
    ],
)
def test_a_secret_in_the_engines_words_goes_no_further_not_even_half_of_it(
    engine: LoopbackServer, client: EngineClient, reply: Reply
) -> None:
    engine.routes["/api/health"] = reply
    with pytest.raises(ServiceUnavailableError) as failed:
        client.health()
    assert "hunter" not in str(failed.value)


def test_engine_down_is_service_unavailable() -> None:
    client = EngineClient(f"http://127.0.0.1:{free_port()}", timeout_s=5)
    with pytest.raises(ServiceUnavailableError, match=r"cannot be reached.*is the engine running"):
        client.health()


@pytest.mark.parametrize("reply", [Reply(late=True), Reply(trickle=True)], ids=["silent", "trickling"])
def test_slow_engine_is_service_unavailable(engine: LoopbackServer, reply: Reply) -> None:
    engine.script(reply)
    with pytest.raises(ServiceUnavailableError, match=r"in 0\.3 s"):
        EngineClient(engine.url, timeout_s=0.3).health()


def test_engine_that_hangs_up_is_service_unavailable(engine: LoopbackServer, client: EngineClient) -> None:
    engine.script(Reply(drop=True))
    with pytest.raises(ServiceUnavailableError, match="cannot be reached"):
        client.health()


@pytest.mark.parametrize("address", ["", "localhost:8080", "ftp://host/x", "http://"])
def test_useless_base_address_is_refused(address: str) -> None:
    with pytest.raises(BadInputError, match="base address"):
        EngineClient(address, timeout_s=1)
