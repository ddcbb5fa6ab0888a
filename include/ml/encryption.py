"""Model files at rest: AES-256-GCM, bound to their names.

An encrypted file is `header | nonce | ciphertext | tag`. The header is the magic `TOPS`, one byte of
version and the 8-byte id of the key, so that a wrong key is told apart from a changed file. Header and
file name are authenticated with the contents: a file renamed to another model's name does not open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from include.errors import ConfigurationError, IntegrityError

if TYPE_CHECKING:
    from include.settings import Settings

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
KEY_ID_BYTES = 8
MAGIC = b"TOPS"
VERSION = 1
HEADER_BYTES = len(MAGIC) + 1 + KEY_ID_BYTES
KEY_VARIABLE = "TRADING_OPS_MODEL_ENCRYPTION_KEY"
HOW_TO_MAKE_A_KEY = (
    f"set {KEY_VARIABLE} to {KEY_BYTES} random bytes in base64 "
    f"(make one: python -c 'import base64, os; print(base64.b64encode(os.urandom({KEY_BYTES})).decode())') "
    "and keep a copy: without it the stored models are lost"
)


class WrongKeyError(IntegrityError):
    """The data was encrypted with another key than the one that is configured; nothing says that it is damaged."""


def is_other_key(error: BaseException | None) -> bool:
    """Tell whether another key than the configured one is at the bottom of `error` (itself or one of its causes).

    With another key no model opens at all: what could not be read is not to blame.
    """
    while error is not None and not isinstance(error, WrongKeyError):
        error = error.__cause__
    return error is not None


def generate_key() -> str:
    """Return a new random key in the form that the setting expects (base64 of 32 bytes)."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode()


def model_key(settings: Settings) -> bytes:
    """Return the 32 bytes of the key of the model files.

    :raises ConfigurationError: when the setting is missing, no base64 or not 32 bytes long; the message
        says how to make a key and never quotes the one that is set.
    """
    secret = settings.model_encryption_key
    text = secret.get_secret_value().strip() if secret is not None else ""
    if not text:
        raise ConfigurationError(f"{KEY_VARIABLE} is not set, model files cannot be encrypted: {HOW_TO_MAKE_A_KEY}")
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ConfigurationError(f"{KEY_VARIABLE} is not valid base64: {HOW_TO_MAKE_A_KEY}") from None
    if len(key) != KEY_BYTES:
        raise ConfigurationError(f"{KEY_VARIABLE} holds {len(key)} bytes instead of {KEY_BYTES}: {HOW_TO_MAKE_A_KEY}")
    return key


def encrypt(data: bytes, key: bytes, associated_data: str) -> bytes:
    """Return `data` encrypted under `key` (32 bytes) and bound to `associated_data`, the file's name.

    The nonce is 96 random bits: two encryptions of the same data differ.
    """
    _check_key(key)
    header = MAGIC + bytes([VERSION]) + _key_id(key)
    nonce = os.urandom(NONCE_BYTES)
    return header + nonce + AESGCM(key).encrypt(nonce, data, header + associated_data.encode())


def decrypt(blob: bytes, key: bytes, associated_data: str) -> bytes:
    """Return the contents of an encrypted file.

    :param associated_data: the name that was given to :func:`encrypt`.
    :raises IntegrityError: for a file that is truncated, not encrypted by this bundle, written with another
        key (:class:`WrongKeyError`), changed, or stored under another name. The message names the file and the remedy.
    """
    _check_key(key)
    name, restore = associated_data, "restore the file from a backup or train the model again"
    if len(blob) < HEADER_BYTES + NONCE_BYTES + TAG_BYTES:
        raise IntegrityError(f"Model file {name} is truncated: {len(blob)} bytes are no encrypted file; {restore}")
    header, rest = blob[:HEADER_BYTES], blob[HEADER_BYTES:]
    if header[: len(MAGIC)] != MAGIC:
        raise IntegrityError(f"Model file {name} is corrupt: it does not start like an encrypted model; {restore}")
    version = header[len(MAGIC)]
    if version != VERSION:
        raise IntegrityError(
            f"Model file {name} has format version {version}, this code reads {VERSION}; "
            "upgrade the bundle or train the model again"
        )
    written_with = header[len(MAGIC) + 1 :]
    if not hmac.compare_digest(written_with, _key_id(key)):
        raise WrongKeyError(
            f"Model file {name} was encrypted with another key (id {written_with.hex()}) than the one in "
            f"{KEY_VARIABLE} (id {_key_id(key).hex()}); put the former key back or train the model again"
        )
    try:
        return AESGCM(key).decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], header + name.encode())
    except InvalidTag:
        raise IntegrityError(
            f"Model file {name} is corrupt: its contents or its name were changed after it was written; {restore}"
        ) from None


def _key_id(key: bytes) -> bytes:
    return hmac.new(key, b"trading-ops model key id", hashlib.sha256).digest()[:KEY_ID_BYTES]


def _check_key(key: bytes) -> None:
    if len(key) != KEY_BYTES:
        raise ConfigurationError(f"A model key of {len(key)} bytes instead of {KEY_BYTES}: {HOW_TO_MAKE_A_KEY}")
