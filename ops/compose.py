"""docker-compose.yaml as a topology: its services, with the variables filled in from an environment.

Only what this project's own files use of Compose is understood.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import yaml

from ops.run_dir import REPOSITORY

BASE = "docker-compose.yaml"
CLUSTER = "docker-compose.rabbitmq-cluster.yaml"
VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>\w+)(?:(?P<kind>:?[?-])(?P<rest>[^}]*))?\}")

Service = Mapping[str, Any]


class MissingVariableError(ValueError):
    """A variable that the file requires is not set."""


@cache
def text(name: str = BASE) -> str:
    """Return one of the two files."""
    return (REPOSITORY / name).read_text(encoding="utf-8")


@cache
def parsed(name: str = BASE) -> dict[str, Any]:
    """Return one of the two files as it stands, variables not filled in."""
    document: dict[str, Any] = yaml.safe_load(text(name))
    return document


def services(name: str = BASE) -> dict[str, dict[str, Any]]:
    """Return the services by name."""
    found: dict[str, dict[str, Any]] = parsed(name)["services"]
    return found


def workers() -> dict[str, dict[str, Any]]:
    """Return the services that are Celery workers."""
    return {name: service for name, service in services().items() if name.startswith("worker-")}


def is_ours(service: Service) -> bool:
    """Return whether the service runs this project's image."""
    return "trading-ops" in service["image"]


def queues_of(service: Service) -> set[str]:
    """Return the queues that a worker consumes."""
    command = service["command"]
    return set(command[command.index("--queues") + 1].split(","))


def filled(value: str, environment: Mapping[str, str]) -> str:
    """Fill in a value's variables as Compose does: `:?` and `?` require, `:-` and `-` have a default.

    :raises MissingVariableError: with the file's own message.
    """

    def one(match: re.Match[str]) -> str:
        name, kind, rest = match["name"], match["kind"] or "", match["rest"] or ""
        known = environment.get(name)
        is_there = bool(known) if kind.startswith(":") else known is not None
        if kind.endswith("?") and not is_there:
            raise MissingVariableError(f"{name}: {rest}")
        return known if is_there and known is not None else rest if kind.endswith("-") else ""

    return VARIABLE.sub(one, value).replace("$$", "$")


def environment_of(service: Service, environment: Mapping[str, str]) -> dict[str, str]:
    """Return what the service's processes get: a name without a value is passed on where it is set, or not at all.

    :raises MissingVariableError: for a required variable.
    """
    said: Mapping[str, Any] = service.get("environment", {})
    passed_on = {name: environment[name] for name, value in said.items() if value is None and name in environment}
    return passed_on | {name: filled(str(value), environment) for name, value in said.items() if value is not None}


def command_of(service: Service, environment: Mapping[str, str]) -> list[str]:
    """Return the service's command with its variables filled in."""
    return [filled(str(part), environment) for part in service["command"]]


def slots(service: Service, environment: Mapping[str, str]) -> int:
    """Return how many tasks a worker takes at the same time."""
    return int(filled(str(service["environment"]["AIRFLOW__CELERY__WORKER_CONCURRENCY"]), environment))


def replicas(service: Service, environment: Mapping[str, str]) -> int:
    """Return how many containers of the service there are."""
    return int(filled(str(service.get("deploy", {}).get("replicas", 1)), environment))


def strings(node: Any) -> Iterator[str]:
    """Yield every text below a node, keys left out."""
    if isinstance(node, Mapping):
        for value in node.values():
            yield from strings(value)
    elif isinstance(node, list):
        for value in node:
            yield from strings(value)
    elif isinstance(node, str):
        yield node


def seconds(duration: str) -> float:
    """Read Compose's `3h`, `40m`, `1m30s`.

    :raises ValueError: for anything else.
    """
    unit = {"h": 3600, "m": 60, "s": 1}
    parts = re.findall(r"(\d+)([hms])", duration)
    if not parts or "".join(map("".join, parts)) != duration:
        raise ValueError(f"{duration!r} is no duration like 3h or 1m30s")
    return sum(int(number) * unit[letter] for number, letter in parts)
