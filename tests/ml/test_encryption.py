"""Model files open with their key, under their name, unchanged, and in no other case."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from include.errors import ConfigurationError, IntegrityError
from include.ml.encryption import HEADER_BYTES, KEY_BYTES, decrypt, encrypt, generate_key, model_key
from include.settings import Settings

KEY = bytes(range(KEY_BYTES))
NAME = "lstm_BTCUSDT_1h_20251122_143022.keras"


def settings_with(key: str | None) -> Settings:
    return Settings(model_encryption_key=None if key is None else SecretStr(key))


@given(st.binary(max_size=2000))
def test_what_was_encrypted_comes_back(data: bytes) -> None:
    blob = encrypt(data, KEY, NAME)
    assert decrypt(blob, KEY, NAME) == data
    assert len(data) < 8 or data not in blob[HEADER_BYTES:]  # shorter ones may occur there by chance


def test_the_same_data_encrypts_differently_each_time() -> None:
    assert len({encrypt(b"weights", KEY, NAME) for _ in range(50)}) == 50


@given(st.binary(min_size=1, max_size=200), st.data())
def test_one_changed_bit_anywhere_is_noticed(data: bytes, draw: st.DataObject) -> None:
    blob = bytearray(encrypt(data, KEY, NAME))
    at = draw.draw(st.integers(0, len(blob) * 8 - 1))
    blob[at // 8] ^= 1 << (at % 8)
    with pytest.raises(IntegrityError, match=NAME):
        decrypt(bytes(blob), KEY, NAME)


@given(st.integers(0, 99))
def test_a_truncated_file_is_noticed(percent: int) -> None:
    blob = encrypt(b"weights" * 100, KEY, NAME)
    with pytest.raises(IntegrityError, match=r"truncated|corrupt"):
        decrypt(blob[: len(blob) * percent // 100], KEY, NAME)


def test_an_appended_byte_is_noticed() -> None:
    with pytest.raises(IntegrityError, match="corrupt"):
        decrypt(encrypt(b"weights", KEY, NAME) + b"\0", KEY, NAME)


def test_a_wrong_key_is_called_a_wrong_key_and_no_key_is_shown() -> None:
    wrong = bytes(reversed(KEY))
    with pytest.raises(IntegrityError, match="another key") as caught:
        decrypt(encrypt(b"weights", KEY, NAME), wrong, NAME)
    message = str(caught.value)
    assert NAME in message
    assert "TRADING_OPS_MODEL_ENCRYPTION_KEY" in message
    for key in (KEY, wrong):
        assert key.hex()[:16] not in message
        assert base64.b64encode(key).decode()[:10] not in message


def test_a_file_renamed_to_another_model_does_not_open() -> None:
    with pytest.raises(IntegrityError, match="name"):
        decrypt(encrypt(b"weights", KEY, NAME), KEY, NAME.replace("BTC", "ETH"))


def test_a_foreign_file_and_a_later_version_are_told_apart() -> None:
    blob = encrypt(b"weights", KEY, NAME)
    with pytest.raises(IntegrityError, match="does not start like"):
        decrypt(b"PK\x03\x04" + blob[4:], KEY, NAME)
    with pytest.raises(IntegrityError, match="format version 2"):
        decrypt(blob[:4] + b"\x02" + blob[5:], KEY, NAME)
    assert len(blob) == HEADER_BYTES + 12 + len(b"weights") + 16


def test_the_key_of_the_settings_is_read() -> None:
    text = generate_key()
    assert model_key(settings_with(f" {text}\n")) == base64.b64decode(text)


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (None, "is not set"),
        ("", "is not set"),
        ("not base64!", "not valid base64"),
        (base64.b64encode(b"x" * 16).decode(), "16 bytes instead of 32"),
        (base64.b64encode(b"x" * 33).decode(), "33 bytes instead of 32"),
    ],
)
def test_a_missing_or_malformed_key_says_how_to_make_one(
    value: str | None, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRADING_OPS_MODEL_ENCRYPTION_KEY", raising=False)
    with pytest.raises(ConfigurationError, match=what) as caught:
        model_key(settings_with(value))
    assert "os.urandom(32)" in str(caught.value)
    if value:
        assert value not in str(caught.value)
