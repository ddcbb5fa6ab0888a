"""Secrets never leave in a message or a stored error."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.notify.scrub import excerpt, is_sensitive_name, scrub

SECRETS = [
    "sk-proj-AbCdEf0123456789_xyz",
    "sk-1234567890abcdef",
    "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX",
    "https://discord.com/api/webhooks/123456789/abcDEF-ghi_JKL",
    "bot123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1",
    "xoxb-123456789012-abcdefghijkl",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "3q2+7wABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhs=",
    "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A",
    "AKIAIOSFODNN7EXAMPLE",
]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("text", ["{}", "failed: {} was refused", "<{}>", "'{}'", "a={}\nb"])
def test_known_forms_of_secrets_are_blacked_out(secret: str, text: str) -> None:
    cleaned = scrub(text.format(secret))
    assert secret not in cleaned
    assert secret[-12:] not in cleaned
    assert "***" in cleaned


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("{'A_B_C_D_E_F_G_H_secret': 'hunter2 x'}", "{'A_B_C_D_E_F_G_H_secret': '***'}"),
        ("mongodb://ops:hunter2@db:27017/x", "mongodb://***@db:27017/x"),
        ("amqp://:hunter2@rabbit//", "amqp://***@rabbit//"),
        ("password=hunter2, retry", "password=***, retry"),
        ('{"api_key": "hunter2", "n": 1}', '{"api_key": "***", "n": 1}'),
        ("SMTP_PASSWORD: hunter2", "SMTP_PASSWORD: ***"),
        ("Authorization: Bearer abcdefgh12345", "Authorization: *** ***"),
        ("sent Bearer abcdefgh12345 to it", "sent Bearer *** to it"),
        ("GET /x?token=hunter2&day=1", "GET /x?token=***&day=1"),
        ("TRADING_OPS_MODEL_ENCRYPTION_KEY=hunter2", "TRADING_OPS_MODEL_ENCRYPTION_KEY=***"),
        ("POST http://127.0.0.1:9/services/T0/B0/xyz failed", "POST http://127.0.0.1:9/services/*** failed"),
    ],
)
def test_named_values_and_addresses_lose_only_their_secret(text: str, cleaned: str) -> None:
    assert scrub(text) == cleaned


@pytest.mark.critical
@pytest.mark.parametrize(
    "text",
    [
        "amqp://user:pa/HUNTER@host:5672//",  # not encoded, as it must not be and yet is
        "mongodb://ops:p@HUNTER@db/x",
        "redis://:HUNTER%2F%40x@host:1",
        "password=b'HUNTER'",
        "{'password': ['HUNTER']}",
        r"password = 'a\'HUNTER'",
        "password='HUNTER",  # cut off by somebody
        r'{"body": "{\"password\": \"HUNTER\"}"}',
        "{&quot;password&quot;: &quot;HUNTER&quot;}",
        "<td>password: &#x27;HUNTER&#x27;</td>",
        "secret_key => HUNTER",
        "POST token%3DHUNTER",
        "redis-cli --password HUNTER ping",
        "SMTP_PASS=HUNTER",
        "clientSecret=HUNTER",
        "Max retries exceeded with url: /api/webhooks/123456/HUNTER-abc",
        "webhook_endpoint: webhooks/1/HUNTER",
        "https://api.telegram.org/bot123456789%3AAAHdqTcvCH1vGWJxfSeofSAs0K5PALDHUNTER/sendMessage",
    ],
)
def test_a_secret_is_found_however_it_is_quoted_and_encoded(text: str) -> None:
    cleaned = scrub(text)
    assert "HUNTER" not in cleaned
    assert "***" in cleaned
    assert scrub(cleaned) == cleaned


@pytest.mark.parametrize(
    "value",
    [
        {"api_key": "hunter2", "note": "a"},
        {"token": None, "secret": "", "mypassword": True},
        {"a": {"pwd": "x\\y'z"}, "b": ["token=x", "mongodb://a:b@c"]},
    ],
)
def test_json_is_json_afterwards(value: dict[str, object]) -> None:
    for text in (json.dumps(value), json.dumps(json.dumps(value))):
        assert json.loads(scrub(text)) is not None
    assert scrub(json.dumps({"token": None, "secret": ""})) == json.dumps({"token": None, "secret": ""})


def test_an_excerpt_is_scrubbed_before_it_is_cut() -> None:
    assert excerpt("x" * 180 + " mongodb://ops:hunter2@db/", 200) == "x" * 180 + " mongodb://***@db/"
    assert "hunter" not in excerpt("x" * 180 + " mongodb://ops:hunter2@db/", 198)


@pytest.mark.parametrize(
    "text",
    [
        "Win rate 52.3% below 55% threshold!",
        "total_tokens: 700, max_tokens=1000",
        "prompt e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "lstm_BTCUSDT_1h_20251122_143022.keras",
        "https://api.binance.com/api/v3/klines?symbol=BTCUSDT",
        "manual__2025-11-22T01:00:00+00:00",
        "scheduled__2025-11-22T03:00:00+00:00 of gpt4_self_analysis",
        "risk-adjusted return of the task-based run",
        "GET http://engine:8080/api?mail=a@b.example is 500",
        "pre-authorization needed by the webhooks of 3 teams",
        "compass=north, bypass: none",
    ],
)
def test_ordinary_texts_stay_as_they_are(text: str) -> None:
    assert scrub(text) == text


@pytest.mark.parametrize("name", [
    "api_key", "API Key", "Webhook URL", "SMTP_PASSWORD", "token", "Encryption key",
    "clientSecret", "accessToken", "smtp.password", "DB_PASS", "dbpassword",
])  # fmt: skip
def test_fields_that_hold_a_secret_are_known_by_name(name: str) -> None:
    assert is_sensitive_name(name)


@pytest.mark.parametrize("name", ["Trades", "Tokens", "maxTokens", "Run", "Key metrics", "Win Rate", "bypass"])
def test_ordinary_fields_are_not(name: str) -> None:
    assert not is_sensitive_name(name)


@given(st.text(max_size=200))
def test_scrubbing_twice_is_scrubbing_once(text: str) -> None:
    assert scrub(scrub(text)) == scrub(text)


@given(st.text(max_size=60), st.sampled_from(SECRETS), st.text(max_size=60))
def test_secret_is_found_between_any_separated_texts(before: str, secret: str, after: str) -> None:
    assert secret not in scrub(f"{before} {secret} {after}")


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "piece",
    [
        "x",
        "x.",
        "x_",
        "a-",
        "http://",
        "eyJ-",
        'password="',
        "token ",
        "bot1",
        "sk",
        ":@",
        "://a:",
        "-----BEGIN ",
        "aB3",
    ],
)
def test_long_hostile_text_does_not_hang_the_worker(piece: str) -> None:
    assert scrub(piece * (100_000 // len(piece)) + " password=hunter2").endswith("***")
