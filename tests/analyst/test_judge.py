"""Asking GPT-4: the official client against a real HTTP server that answers well, badly, late or not at all."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pymongo
import pytest
from pydantic import SecretStr
from pymongo.database import Database

from include.analyst.answer import ANSWER_SCHEMA
from include.analyst.errors import AnswerError, BudgetExceededError, JudgeUnavailableError, RateLimitReachedError
from include.analyst.judge import Judgement, ask, worst_case_usd
from include.analyst.judge_failures import retry_after_s
from include.analyst.ledger import CostLedger
from include.analyst.prompt import build_messages, prompt_sha256, schema_sha256
from include.errors import ConfigurationError, ServiceUnavailableError, TransientError
from include.settings import Settings
from include.store.collections import GPT4_COSTS
from sandbox.mongod import free_port
from tests.analyst.conftest import Clock
from tests.analyst.evidence_parts import POOR, evidence_of
from tests.analyst.openai_answers import KEY, PATH, api_error, completion, completion_body, verdict
from tests.trading.loopback import LoopbackServer, Reply, as_json

Db = Database[dict[str, Any]]
MakeSettings = Callable[..., Settings]
MESSAGES = build_messages(evidence_of(POOR))


def rows(db: Db) -> list[dict[str, Any]]:
    return list(db[GPT4_COSTS].find().sort("purpose"))


def no_key_in(error: BaseException) -> bool:
    return KEY not in "".join(traceback.format_exception(error)) and KEY[:12] not in str(error)


@pytest.mark.critical
def test_tc_async_055_one_call_one_verdict_one_row(
    openai_server: LoopbackServer, settings: Settings, ledger: CostLedger, db: Db
) -> None:
    openai_server.script(completion(verdict()))
    judgement = ask(settings, MESSAGES, ledger, "run-1", try_number=2)
    assert judgement.answer.recommendation == "retrain"
    assert (judgement.usage.total_tokens, judgement.cost_usd, judgement.requests) == (700, 0.00325, 1)
    assert judgement.prompt_sha256 == prompt_sha256(MESSAGES)
    assert judgement.schema_sha256 == schema_sha256(ANSWER_SCHEMA)
    (row,) = rows(db)
    assert (row["task_id"], row["total_tokens"], row["cost_usd"], row["try"], row["state"]) == (
        "run-1",
        700,
        0.00325,
        2,
        "settled",
    )
    assert Judgement.from_dict(json.loads(json.dumps(judgement.to_dict()))) == judgement


def test_request_is_schema_bound_cool_and_carries_the_key_in_its_header_only(
    openai_server: LoopbackServer, settings: Settings, ledger: CostLedger
) -> None:
    openai_server.script(completion(verdict()))
    ask(settings, MESSAGES, ledger, "run-1")
    (asked,) = openai_server.asked
    body = asked.json()
    assert (asked.method, asked.path) == ("POST", PATH)
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("gpt-4o", 0.3, 1000)
    assert body["response_format"]["json_schema"]["strict"] is True
    assert body["response_format"]["json_schema"]["schema"] == ANSWER_SCHEMA
    assert body["messages"] == MESSAGES
    assert asked.headers["authorization" if "authorization" in asked.headers else "Authorization"] == f"Bearer {KEY}"
    assert KEY.encode() not in asked.body


def test_gpt_4_turbo_is_asked_in_json_mode(openai_server: LoopbackServer, settings_with: MakeSettings, db: Db) -> None:
    settings = settings_with(openai_model="gpt-4-turbo")
    openai_server.script(completion(verdict()))
    judgement = ask(settings, MESSAGES, CostLedger(db, settings), "run-1")
    assert openai_server.asked[0].json()["response_format"] == {"type": "json_object"}
    assert judgement.cost_usd == pytest.approx(0.011)


def test_tc_async_054_malformed_answer_is_repaired_once(
    openai_server: LoopbackServer, settings: Settings, ledger: CostLedger, db: Db
) -> None:
    openai_server.script(completion("This is not valid JSON"), completion(verdict(), 900, 250))
    judgement = ask(settings, MESSAGES, ledger, "run-1")
    assert (judgement.requests, judgement.usage.prompt_tokens, judgement.usage.completion_tokens) == (2, 1400, 450)
    repair = openai_server.asked[1].json()["messages"]
    assert repair[-2] == {"role": "assistant", "content": "This is not valid JSON"}
    assert "holds no JSON object" in repair[-1]["content"]
    assert [row["purpose"] for row in rows(db)] == ["gpt4_self_analysis", "gpt4_self_analysis:repair"]
    assert ledger.calls_last_hour() == 2
    assert judgement.cost_usd == pytest.approx(sum(row["cost_usd"] for row in rows(db)))


def test_tc_async_054_malformed_twice_is_an_error_that_keeps_both_answers(
    openai_server: LoopbackServer, settings: Settings, ledger: CostLedger
) -> None:
    openai_server.script(completion("This is not valid JSON"), completion('{"recommendation": "wait"}'))
    with pytest.raises(AnswerError) as caught:
        ask(settings, MESSAGES, ledger, "run-1")
    assert caught.value.kind == "missing"
    assert caught.value.raw_answers == ("This is not valid JSON", '{"recommendation": "wait"}')
    assert (caught.value.requests, caught.value.cost_usd) == (2, 0.0065)
    assert len(openai_server.asked) == 2
    assert isinstance(caught.value, ValueError)


def test_tc_async_055_bare_wait_is_asked_to_be_completed(
    openai_server: LoopbackServer, settings: Settings, ledger: CostLedger, db: Db
) -> None:
    openai_server.script(
        completion('{"recommendation": "wait"}'), completion(verdict(recommendation="wait", suggested_actions=[]))
    )
    assert ask(settings, MESSAGES, ledger, "run-1").answer.recommendation == "wait"
    assert "lacks confidence, urgency" in openai_server.asked[1].json()["messages"][-1]["content"]
    entry = db[GPT4_COSTS].find_one({"task_id": "run-1"})
    assert entry is not None
    assert entry["total_tokens"] == 700


def test_repair_that_the_limits_forbid_leaves_the_first_problem(
    openai_server: LoopbackServer, settings_with: MakeSettings, db: Db
) -> None:
    settings = settings_with(gpt4_calls_per_hour=1)
    openai_server.script(completion("nonsense"))
    with pytest.raises(AnswerError, match="no repair attempt could be made") as caught:
        ask(settings, MESSAGES, CostLedger(db, settings), "run-1")
    assert (caught.value.kind, caught.value.raw_answers, caught.value.requests) == ("not_json", ("nonsense",), 1)


def test_cut_off_answer_is_repaired(openai_server: LoopbackServer, settings: Settings, ledger: CostLedger) -> None:
    openai_server.script(completion(verdict()[:50], finish_reason="length"), completion(verdict()))
    assert ask(settings, MESSAGES, ledger, "run-1").requests == 2


def test_cut_off_answer_is_not_believed_even_if_it_parses(
    openai_server: LoopbackServer, settings: Settings, ledger: CostLedger
) -> None:
    openai_server.script(*[completion(verdict(), finish_reason="length")] * 2)
    with pytest.raises(AnswerError) as caught:
        ask(settings, MESSAGES, ledger, "run-1")
    assert caught.value.kind == "cut_off"


@pytest.mark.parametrize(
    "reply",
    [completion(None, refusal="I can't help with that."), completion("", finish_reason="content_filter")],
    ids=["refusal", "content-filter"],
)
def test_refusal_is_an_error_without_a_repair_attempt(
    openai_server: LoopbackServer, settings: Settings, ledger: CostLedger, reply: Reply
) -> None:
    openai_server.script(reply)
    with pytest.raises(AnswerError) as caught:
        ask(settings, MESSAGES, ledger, "run-1")
    assert caught.value.kind == "refused"
    assert len(openai_server.asked) == 1
    assert caught.value.cost_usd == 0.00325


def test_empty_answer_is_repaired(openai_server: LoopbackServer, settings: Settings, ledger: CostLedger) -> None:
    openai_server.script(completion(None), completion(verdict()))
    assert ask(settings, MESSAGES, ledger, "run-1").requests == 2


def test_tc_async_053_late_answer_is_a_time_out_without_hidden_retries(
    openai_server: LoopbackServer, settings_with: MakeSettings, db: Db
) -> None:
    settings = settings_with(openai_timeout_s=0.3)
    openai_server.script(*[Reply(late=True)] * 4)
    with pytest.raises(JudgeUnavailableError, match=r"did not answer in 0\.3 s"):
        ask(settings, MESSAGES, CostLedger(db, settings), "run-1")
    assert len(openai_server.asked) == 1
    (row,) = rows(db)
    assert row["state"] == "unknown"
    assert row["cost_usd"] == pytest.approx(worst_case_usd(settings, MESSAGES))


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503])
def test_busy_or_broken_endpoint_is_transient_and_costs_nothing(
    openai_server: LoopbackServer, settings: Settings, ledger: CostLedger, db: Db, status: int
) -> None:
    openai_server.script(api_error(status, "Please slow down", "rate_limit_exceeded"))
    with pytest.raises(JudgeUnavailableError, match=f"status {status}.*Please slow down") as caught:
        ask(settings, MESSAGES, ledger, "run-1")
    assert isinstance(caught.value, TransientError)
    assert caught.value.retry_after_s is None
    assert len(openai_server.asked) == 1
    assert [(row["state"], row["cost_usd"]) for row in rows(db)] == [("refused", 0.0)]
    assert ledger.calls_last_hour() == 1


def test_429_passes_on_how_long_to_wait(openai_server: LoopbackServer, settings: Settings, ledger: CostLedger) -> None:
    openai_server.script(api_error(429, "Slow down", "rate_limit_exceeded", retry_after="17"))
    with pytest.raises(JudgeUnavailableError, match="asks to wait 17 s") as caught:
        ask(settings, MESSAGES, ledger, "run-1")
    assert caught.value.retry_after_s == 17


def test_retry_after_is_understood_in_both_forms_and_bounded() -> None:
    now = datetime(2025, 11, 22, 1, tzinfo=UTC)
    http_date = (now + timedelta(seconds=90)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    assert retry_after_s(http_date, now) == 90
    assert retry_after_s("1.5", now) == 1.5
    assert retry_after_s("-3", now) == 0
    assert retry_after_s("1e9", now) == 86400
    assert [retry_after_s(value, now) for value in (None, "", "soon", "nan")] == [None] * 4


def test_account_without_credit_is_a_matter_for_people(
    openai_server: LoopbackServer, settings: Settings, ledger: CostLedger
) -> None:
    openai_server.script(api_error(429, "You exceeded your current quota", "insufficient_quota"))
    with pytest.raises(ConfigurationError, match="no credit left"):
        ask(settings, MESSAGES, ledger, "run-1")


@pytest.mark.parametrize("status", [401, 403])
def test_refused_key_is_a_configuration_error_that_does_not_show_the_key(
    openai_server: LoopbackServer, settings: Settings, ledger: CostLedger, db: Db, status: int
) -> None:
    openai_server.script(api_error(status, f"Incorrect API key provided: {KEY}", "invalid_api_key"))
    with pytest.raises(ConfigurationError, match=f"refused the key with status {status}") as caught:
        ask(settings, MESSAGES, ledger, "run-1")
    assert no_key_in(caught.value)
    assert KEY not in str(rows(db))


@pytest.mark.parametrize("status", [400, 404, 422, 500])
def test_no_error_text_shows_the_key_even_if_the_endpoint_repeats_it(
    openai_server: LoopbackServer, settings: Settings, ledger: CostLedger, db: Db, status: int
) -> None:
    openai_server.script(api_error(status, f"bad request with {KEY} in it"))
    with pytest.raises((ConfigurationError, JudgeUnavailableError)) as caught:
        ask(settings, MESSAGES, ledger, "run-1")
    assert no_key_in(caught.value)
    assert KEY not in str(rows(db))


def test_unknown_model_at_the_endpoint_says_which_setting_to_check(
    openai_server: LoopbackServer, settings: Settings, ledger: CostLedger
) -> None:
    openai_server.script(api_error(404, "The model does not exist", "model_not_found"))
    with pytest.raises(ConfigurationError, match="TRADING_OPS_OPENAI_MODEL"):
        ask(settings, MESSAGES, ledger, "run-1")


def test_endpoint_that_is_down_is_transient_and_costs_nothing(settings_with: MakeSettings, db: Db) -> None:
    settings = settings_with(openai_base_url=f"http://127.0.0.1:{free_port()}/v1")
    with pytest.raises(JudgeUnavailableError, match="cannot be reached"):
        ask(settings, MESSAGES, CostLedger(db, settings), "run-1")
    assert [(row["state"], row["cost_usd"]) for row in rows(db)] == [("refused", 0.0)]


def test_endpoint_that_hangs_up_may_have_billed(
    openai_server: LoopbackServer, settings: Settings, ledger: CostLedger, db: Db
) -> None:
    openai_server.script(Reply(drop=True))
    with pytest.raises(JudgeUnavailableError, match="cannot be reached"):
        ask(settings, MESSAGES, ledger, "run-1")
    assert rows(db)[0]["state"] == "unknown"


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b"<html>login</html>", "text/html"),
        as_json({"hello": "world"}),
        as_json({**completion_body("x"), "choices": []}),
        as_json({**completion_body("x"), "choices": None}),
        as_json([1, 2]),
        Reply(200, b"{broken"),
    ],
    ids=["html", "other-json", "no-choices", "null-choices", "list", "broken-json"],
)
def test_answer_that_is_no_chat_completion_is_transient_and_named(
    openai_server: LoopbackServer, settings: Settings, ledger: CostLedger, reply: Reply
) -> None:
    openai_server.script(reply)
    with pytest.raises(JudgeUnavailableError, match="no chat completion"):
        ask(settings, MESSAGES, ledger, "run-1")


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": -5, "completion_tokens": 1}, {"prompt_tokens": "many"}])
def test_verdict_without_believable_usage_keeps_the_worst_case(
    openai_server: LoopbackServer, settings: Settings, ledger: CostLedger, db: Db, usage: object
) -> None:
    openai_server.script(as_json({**completion_body(verdict()), "usage": usage}))
    judgement = ask(settings, MESSAGES, ledger, "run-1")
    assert judgement.cost_usd == pytest.approx(worst_case_usd(settings, MESSAGES))
    assert rows(db)[0]["state"] == "unknown"


@pytest.mark.parametrize("key", [None, SecretStr(""), SecretStr("  ")])
def test_without_a_key_nothing_is_sent_or_booked(
    openai_server: LoopbackServer,
    settings_with: MakeSettings,
    db: Db,
    key: SecretStr | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "")
    settings = settings_with(openai_api_key=key)
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY is not configured"):
        ask(settings, MESSAGES, CostLedger(db, settings), "run-1")
    assert openai_server.asked == []
    assert rows(db) == []


def test_spent_budget_and_reached_limit_send_nothing(
    openai_server: LoopbackServer, settings_with: MakeSettings, db: Db
) -> None:
    for changes, error in (
        ({"gpt4_daily_budget_usd": 0.001}, BudgetExceededError),
        ({"gpt4_monthly_budget_usd": 0.001}, BudgetExceededError),
        ({"gpt4_calls_per_hour": 0}, RateLimitReachedError),
    ):
        settings = settings_with(**changes)
        with pytest.raises(error):
            ask(settings, MESSAGES, CostLedger(db, settings), "run-1")
    assert openai_server.asked == []


def test_model_without_a_price_sends_nothing(
    openai_server: LoopbackServer, settings_with: MakeSettings, db: Db
) -> None:
    settings = settings_with(openai_model="gpt-9")
    with pytest.raises(ConfigurationError, match="no price"):
        ask(settings, MESSAGES, CostLedger(db, settings), "run-1")
    assert openai_server.asked == []


def test_without_mongodb_nothing_is_sent(openai_server: LoopbackServer, settings: Settings) -> None:
    address = f"mongodb://127.0.0.1:{free_port()}"
    with (
        pymongo.MongoClient[dict[str, Any]](address, serverSelectionTimeoutMS=100) as client,
        pytest.raises(ServiceUnavailableError, match="no call is made"),
    ):
        ask(settings, MESSAGES, CostLedger(client["away"], settings), "run-1")
    assert openai_server.asked == []


def test_worst_case_reserved_for_a_call_is_more_than_its_real_cost(
    openai_server: LoopbackServer, settings: Settings, db: Db, clock: Clock
) -> None:
    openai_server.script(completion(verdict(), prompt_tokens=900, completion_tokens=300))
    ask(settings, MESSAGES, CostLedger(db, settings, clock), "run-1")
    assert rows(db)[0]["worst_case_usd"] > rows(db)[0]["cost_usd"]
