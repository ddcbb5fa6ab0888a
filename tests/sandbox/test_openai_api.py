"""The OpenAI-compatible endpoint, spoken to by the official client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from include.analyst.answer import ANSWER_SCHEMA, parse_answer
from sandbox.control import Control, ControlError
from sandbox.launcher import Sandbox
from sandbox.openai_api.bodies import BYTES_PER_TOKEN, count_tokens
from sandbox.openai_api.judge import answer_for, judge

MESSAGES: list[Any] = [{"role": "user", "content": "Answer in JSON."}]
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["reasoning", "recommendation", "score"],
    "properties": {
        "reasoning": {"type": "string"},
        "recommendation": {"type": "string"},
        "score": {"type": "number"},
    },
}


@pytest.fixture
def client(sandbox: Sandbox, control: Control) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=sandbox.urls["openai_api"], api_key=sandbox.env["OPENAI_API_KEY"], max_retries=0, timeout=20
    ) as official:
        yield official


def ask(client: openai.OpenAI, model: str = "gpt-4o", **options: Any) -> Any:
    return client.chat.completions.create(**({"model": model, "messages": MESSAGES} | options))


def schema_format(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": schema}}


def test_an_answer_has_content_and_the_usage_of_its_texts(client: openai.OpenAI) -> None:
    completion = ask(client)
    text = completion.choices[0].message.content
    assert json.loads(text)["recommendation"] == "wait"
    assert completion.object == "chat.completion"
    assert completion.model == "gpt-4o-2024-08-06"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage.completion_tokens == count_tokens(text)
    assert completion.usage.prompt_tokens >= count_tokens("Answer in JSON.")
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens


def test_canned_answers_come_first_in_their_order(client: openai.OpenAI, control: Control) -> None:
    fenced = '```json\n{"recommendation": "NO_RETRAINING"}\n```'
    control.answers("This is not valid JSON", fenced, {"content": "{}", "prompt_tokens": 500, "completion_tokens": 200})
    assert ask(client).choices[0].message.content == "This is not valid JSON"
    assert ask(client).choices[0].message.content == fenced
    usage = ask(client).usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (500, 200, 700)
    assert json.loads(ask(client).choices[0].message.content)["recommendation"] == "wait"


def test_a_refusal_has_no_content(client: openai.OpenAI, control: Control) -> None:
    control.answers({"refusal": "I can't help with that."})
    message = ask(client).choices[0].message
    assert (message.content, message.refusal) == (None, "I can't help with that.")


def test_a_long_answer_is_cut_with_finish_reason_length(client: openai.OpenAI, control: Control) -> None:
    control.answers("x" * 100)
    choice = ask(client, max_completion_tokens=10).choices[0]
    assert choice.finish_reason == "length"
    assert choice.message.content == "x" * 10 * BYTES_PER_TOKEN


def test_a_schema_decides_the_keys_and_their_order(client: openai.OpenAI) -> None:
    text = ask(client, response_format=schema_format(SCHEMA)).choices[0].message.content
    assert list(json.loads(text)) == ["reasoning", "recommendation", "score"]


def test_a_wrong_key_is_401(sandbox: Sandbox, control: Control) -> None:
    stranger = openai.OpenAI(base_url=sandbox.urls["openai_api"], api_key="sk-wrong-key-0000", max_retries=0)
    with stranger, pytest.raises(openai.AuthenticationError) as caught:
        ask(stranger)
    assert caught.value.code == "invalid_api_key"
    assert "sk-wrong-key-0000" not in str(caught.value)
    bare = httpx.post(sandbox.urls["openai_api"] + "/chat/completions", json={})
    assert bare.status_code == 401
    assert bare.json()["error"]["code"] is None


def test_rate_limit_and_server_error(client: openai.OpenAI, control: Control) -> None:
    control.rate_limit_gpt4(times=1, retry_after=7)
    control.fail_gpt4(times=1)
    with pytest.raises(openai.RateLimitError) as limited:
        ask(client)
    assert limited.value.code == "rate_limit_exceeded"
    assert limited.value.response.headers["retry-after"] == "7"
    with pytest.raises(openai.InternalServerError):
        ask(client)
    assert ask(client).choices


def test_a_timeout_and_a_dropped_connection(client: openai.OpenAI, control: Control) -> None:
    control.script("openai_api", "/v1/chat/*", delay_s=0.4, times=1)
    control.script("openai_api", "/v1/chat/*", drop=True, times=1)
    with pytest.raises(openai.APITimeoutError):
        ask(client, timeout=0.1)
    with pytest.raises(openai.APIConnectionError):
        ask(client)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "llama-3"}, "does not exist"),
        ({"messages": []}, "Invalid 'messages'"),
        ({"temperature": 3.0}, "Invalid 'temperature'"),
        (
            {"messages": [{"role": "user", "content": "hello"}], "response_format": {"type": "json_object"}},
            "must contain the word 'json'",
        ),
        ({"model": "gpt-4-turbo", "response_format": schema_format(SCHEMA)}, "not supported with this model"),
        ({"response_format": schema_format(SCHEMA | {"required": ["reasoning"]})}, "Missing 'recommendation'"),
        (
            {"response_format": schema_format({"type": "object", "properties": {}, "required": []})},
            "'additionalProperties' is required",
        ),
    ],
)
def test_requests_that_openai_refuses_are_refused(client: openai.OpenAI, options: dict[str, Any], message: str) -> None:
    with pytest.raises((openai.BadRequestError, openai.NotFoundError), match=message):
        ask(client, **options)


def test_json_mode_is_accepted_where_the_schema_is_not(client: openai.OpenAI) -> None:
    assert ask(client, "gpt-4-turbo", response_format={"type": "json_object"}).model == "gpt-4-turbo-2024-04-09"


def test_a_missing_model_or_a_broken_body_is_400(sandbox: Sandbox, control: Control) -> None:
    headers = {"Authorization": "Bearer sandbox-x"}
    url = sandbox.urls["openai_api"] + "/chat/completions"
    for content, expected in (
        (b"{", "could not parse the JSON body"),
        (b'{"messages": []}', "must provide a model"),
        (b'{"model": "gpt-4o"}', "Missing required parameter: 'messages'"),
    ):
        answer = httpx.post(url, content=content, headers=headers)
        assert answer.status_code == 400
        assert expected in answer.json()["error"]["message"]


def test_an_unusable_canned_answer_is_refused(control: Control) -> None:
    with pytest.raises(ControlError, match="not a list of answers"):
        control.answers({"contents": "x"})


PROMPT = """PERFORMANCE TRENDS (Last 7 days):
- Win Rate: [65%, 62%, {win_rate}%] (Target: 70%, Current: {win_rate}%)
- Avg Profit: [2.9%, 2.8%, {profit}%] (Target: 2.6%)
- Sharpe Ratio (trailing 7 days): [1.8, {sharpe}] (Target: 2.1, 7 days: {sharpe})

MODEL ACCURACY (Last 7 days):
- LSTM: 68% → 67% → {lstm}% (dropped in 7 days)
- GRU (BTCUSDT 1h): 70.0% → 69.5% (-0.5 points; baseline 70.1%, skill -0.6 points, 160 bars)
- Transformer: 70% → 69%

THRESHOLDS:
- Retrain if win rate < 55% for 3+ days: ❌ not met (currently 40%)
- Retrain if Sharpe ratio < 1.0 ✅ (currently 0.85)
"""


def test_a_figure_that_is_not_available_is_not_critical() -> None:
    assert judge("- Sharpe Ratio: [n/a, 0.50, n/a] (Target: 2.1, 7 days: n/a)")["recommendation"] == "wait"


@pytest.mark.parametrize("win_rate", [51, 72])
def test_the_default_judgement_is_one_that_the_bundle_accepts(win_rate: float) -> None:
    prompt = PROMPT.format(win_rate=win_rate, profit=2.8, sharpe=2.3, lstm=68)
    answer = parse_answer(answer_for(prompt, ANSWER_SCHEMA))
    assert answer.recommendation == ("retrain" if win_rate < 55 else "wait")
    assert list(json.loads(answer_for(prompt, ANSWER_SCHEMA))) == list(ANSWER_SCHEMA["properties"])


@pytest.mark.parametrize(
    ("figures", "verdict", "models", "urgency"),
    [
        ({}, "wait", [], "low"),
        ({"win_rate": 51}, "retrain", ["lstm", "gru", "transformer"], "medium"),
        ({"win_rate": 51, "sharpe": 0.85}, "retrain", ["lstm", "gru", "transformer"], "high"),
        ({"profit": -0.3}, "retrain", ["lstm", "gru", "transformer"], "medium"),
        ({"lstm": 60}, "retrain", ["lstm"], "high"),
        ({"win_rate": 58, "lstm": 62.5}, "retrain", ["lstm"], "high"),
    ],
)
def test_the_default_judgement_follows_the_numbers_shown(
    figures: dict[str, float], verdict: str, models: list[str], urgency: str
) -> None:
    shown = {"win_rate": 72, "profit": 2.8, "sharpe": 2.3, "lstm": 68} | figures
    answer = judge(PROMPT.format(**shown))
    assert (answer["recommendation"], answer["model_types"], answer["urgency"]) == (verdict, models, urgency)
    assert answer["confidence"] >= 0.7
    for name in figures:
        assert f"{figures[name]:g}" in answer["reasoning"] or name == "win_rate"
