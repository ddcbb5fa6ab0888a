"""The secrets of one environment: generated once, kept in a file that only its owner may read."""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from dotenv import dotenv_values

from ops.files import write_text


def _thirty_two_bytes() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


ADMIN_PASSWORD = "TRADING_OPS_ADMIN_PASSWORD"

GENERATORS: dict[str, Callable[[], str]] = {
    "AIRFLOW__CORE__FERNET_KEY": _thirty_two_bytes,
    "AIRFLOW__API_AUTH__JWT_SECRET": lambda: secrets.token_urlsafe(64),
    "AIRFLOW__API__SECRET_KEY": lambda: secrets.token_urlsafe(32),
    "TRADING_OPS_MODEL_ENCRYPTION_KEY": lambda: base64.b64encode(os.urandom(32)).decode(),
    ADMIN_PASSWORD: lambda: secrets.token_urlsafe(12),
}
"""Each secret and what makes it; the names are those of the environment variables that carry them."""


def load_or_create(path: Path) -> tuple[dict[str, str], list[str]]:
    """Return the secrets in `path`, having made those that were missing.

    :returns: the secrets by name, and the names of the new ones.
    """
    known = {name: value for name, value in dotenv_values(path).items() if value} if path.exists() else {}
    new = [name for name in GENERATORS if name not in known]
    if new:
        known |= {name: GENERATORS[name]() for name in new}
        lines = ["# Generated once for this environment. Losing the model key loses the models."]
        write_text(path, "\n".join([*lines, *(f"{name}={value}" for name, value in known.items())]) + "\n", mode=0o600)
    return known, new
