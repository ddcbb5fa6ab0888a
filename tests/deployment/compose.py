"""docker-compose.yaml as the tests read it: parsed, with its variables filled in from an environment."""

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


class MissingVariableError(ValueError):
    """A variable that the file requires is not set."""


@cache
def text(name: str = BASE) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


@cache
def parsed(name: str = BASE) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(text(name))
    return document


def services(name: str = BASE) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = parsed(name)["services"]
    return found


def workers() -> dict[str, dict[str, Any]]:
    return {name: service for name, service in services().items() if name.startswith("worker-")}


def queues_of(service: Mapping[str, Any]) -> set[str]:
    command = service["command"]
    return set(command[command.index("--queues") + 1].split(","))


def filled(value: str, environment: Mapping[str, str]) -> str:
    """Fill in a value's variables as Compose does: `:?` and `?` require, `:-` and `-` have a default."""

    def one(match: re.Match[str]) -> str:
        name, kind, rest = match["name"], match["kind"] or "", match["rest"] or ""
        known = environment.get(name)
        is_there = bool(known) if kind.startswith(":") else known is not None
        if kind.endswith("?") and not is_there:
            raise MissingVariableError(f"{name}: {rest}")
        return known if is_there and known is not None else rest if kind.endswith("-") else ""

    return VARIABLE.sub(one, value).replace("$$", "$")


def slots(service: Mapping[str, Any], environment: Mapping[str, str]) -> int:
    return int(filled(str(service["environment"]["AIRFLOW__CELERY__WORKER_CONCURRENCY"]), environment))


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
    """Read Compose's `3h`, `40m`, `1m30s`."""
    unit = {"h": 3600, "m": 60, "s": 1}
    parts = re.findall(r"(\d+)([hms])", duration)
    assert "".join(map("".join, parts)) == duration, duration
    return sum(int(number) * unit[letter] for number, letter in parts)
