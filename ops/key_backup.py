"""The keys without which a backup is worth nothing, sealed with a passphrase: scrypt and AES-256-GCM.

The model key opens the model files in the database, the Fernet key Airflow's connections. They stand beside the data
that they open, so they must not stand there in the clear.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

PASSPHRASE_VARIABLE = "TRADING_OPS_BACKUP_PASSPHRASE"
KEYS = ("TRADING_OPS_MODEL_ENCRYPTION_KEY", "AIRFLOW__CORE__FERNET_KEY")
MIN_PASSPHRASE = 16
COST, BLOCK, PARALLEL = 2**15, 8, 1
PURPOSE = b"trading-ops keys 1"


class KeyBackupError(RuntimeError):
    """Keys cannot be sealed or opened."""


def seal(environment: Mapping[str, str]) -> str:
    """Return the environment's keys as one sealed text.

    :raises KeyBackupError: when a key is not set, or the passphrase is shorter than 16 characters.
    """
    missing = [name for name in KEYS if not environment.get(name)]
    if missing:
        raise KeyBackupError(f"not set: {', '.join(missing)}; a backup without its keys cannot be used")
    salt, nonce = os.urandom(16), os.urandom(12)
    text = json.dumps({name: environment[name] for name in KEYS}).encode()
    sealed = AESGCM(_key(environment, salt)).encrypt(nonce, text, PURPOSE)
    return base64.b64encode(salt + nonce + sealed).decode()


def open_sealed(sealed: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the keys by the names of their variables.

    :raises KeyBackupError: for another passphrase, or a text that was changed.
    """
    try:
        blob = base64.b64decode(sealed, validate=True)
        keys: dict[str, str] = json.loads(AESGCM(_key(environment, blob[:16])).decrypt(blob[16:28], blob[28:], PURPOSE))
    except (InvalidTag, ValueError) as error:
        raise KeyBackupError(f"the keys do not open: another {PASSPHRASE_VARIABLE}, or a damaged file") from error
    return keys


def _key(environment: Mapping[str, str], salt: bytes) -> bytes:
    passphrase = environment.get(PASSPHRASE_VARIABLE, "")
    if len(passphrase) < MIN_PASSPHRASE:
        raise KeyBackupError(f"{PASSPHRASE_VARIABLE} must have at least {MIN_PASSPHRASE} characters")
    return Scrypt(salt=salt, length=32, n=COST, r=BLOCK, p=PARALLEL).derive(passphrase.encode())
