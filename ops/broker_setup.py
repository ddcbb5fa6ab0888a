"""Gives RabbitMQ the policies of config/rabbitmq/definitions.json, through its management API. May be run again.

They are not loaded at the node's start (`load_definitions`): RabbitMQ then makes no user from the environment, and the
definitions would have to hold one.
"""

from __future__ import annotations

import json
from pathlib import Path

import httpx

from ops.run_dir import REPOSITORY

DEFINITIONS_FILE = REPOSITORY / "config" / "rabbitmq" / "definitions.json"
TIMEOUT_S = 30.0


class BrokerSetupError(RuntimeError):
    """RabbitMQ did not take the definitions."""


def import_definitions(management_url: str, file: Path = DEFINITIONS_FILE) -> None:
    """Import the file.

    :param management_url: `http://user:password@host:15672`; the user must be an administrator.
    :raises BrokerSetupError: when RabbitMQ is not there or refuses; the message holds no password.
    """
    url = httpx.URL(management_url)
    where = f"{url.host}:{url.port}"
    definitions = json.loads(file.read_text(encoding="utf-8"))
    try:
        answer = httpx.post(
            f"{url.scheme}://{where}/api/definitions",
            auth=(url.username, url.password),
            json=definitions,
            timeout=TIMEOUT_S,
        )
    except httpx.HTTPError as error:
        raise BrokerSetupError(f"RabbitMQ's management API at {where} does not answer: {error}") from error
    if answer.is_error:
        raise BrokerSetupError(f"RabbitMQ at {where} refused {file.name}: {answer.status_code} {answer.text[:300]}")
