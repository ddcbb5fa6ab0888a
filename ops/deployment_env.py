"""Writes `.env` for the distributed mode: every secret fresh, every other value that must be set left to be filled in.

    python -m ops.deployment_env [file]

An existing file keeps what it says; what is missing is added. The file is readable by its owner alone.
"""

from __future__ import annotations

import base64
import os
import secrets
import string
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values

from ops.files import write_text
from ops.run_dir import REPOSITORY
from ops.secret_values import GENERATORS

LETTERS_AND_DIGITS = string.ascii_letters + string.digits


def _password() -> str:
    # Part of addresses like amqp://user:password@host: nothing that would have to be escaped.
    return "".join(secrets.choice(LETTERS_AND_DIGITS) for _ in range(32))


SECRETS: dict[str, Callable[[], str]] = {
    **GENERATORS,
    "POSTGRES_PASSWORD": _password,
    "RABBITMQ_PASSWORD": _password,
    "RABBITMQ_ERLANG_COOKIE": _password,
    "REDIS_PASSWORD": _password,
    "MONGO_PASSWORD": _password,
    "MONGO_ROOT_PASSWORD": _password,
    "MONGO_KEYFILE": lambda: base64.b64encode(os.urandom(96)).decode(),
    "FLOWER_BASIC_AUTH": lambda: f"flower:{_password()}",
    "GRAFANA_PASSWORD": _password,
    "TRADING_OPS_BACKUP_PASSPHRASE": _password,
}
"""What is generated."""

TO_FILL_IN: dict[str, str] = {
    "TRADING_OPS_ENGINE_BASE_URL": "the trading engine, for instance http://host.docker.internal:8081",
    "TRADING_OPS_AI_SERVICE_BASE_URL": "the AI service; may stay empty where there is none",
    "TRADING_OPS_FRONTEND_BASE_URL": "the dashboard; may stay empty where there is none",
    "ALERT_SMTP_SMARTHOST": "mail server of the alerts, host:port",
    "ALERT_SMTP_USER": "its user",
    "ALERT_SMTP_PASSWORD": "its password",
    "ALERT_MAIL_FROM": "sender",
    "ALERT_MAIL_TO": "who gets the alerts",
    "ALERT_SLACK_CHANNEL": 'in quotes because of the #, for instance "#alerts"',
    "ALERT_SLACK_WEBHOOK": "https://hooks.slack.com/services/...",
}
"""What only a person knows: name to meaning."""


def completed(existing: str) -> str:
    """Return the file's text with what it lacks added at its end."""
    known = dotenv_values(stream=StringIO(existing), interpolate=False)
    lines = [f"{name}={make()}" for name, make in SECRETS.items() if not known.get(name)]
    for name, meaning in TO_FILL_IN.items():
        if name not in known:
            lines += [f"# {meaning}", f"{name}="]
    if not lines:
        return existing
    head = "" if not existing else existing.rstrip("\n") + "\n\n"
    return head + "# The distributed mode. Losing the model key loses the models.\n" + "\n".join(lines) + "\n"


def main() -> int:
    """Complete the file named on the command line (default: `.env`)."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / ".env"
    write_text(path, completed(path.read_text(encoding="utf-8") if path.exists() else ""), mode=0o600)
    print(f"{path}: secrets are made, now fill in what is empty")
    return 0


if __name__ == "__main__":
    sys.exit(main())
