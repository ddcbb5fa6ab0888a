"""RabbitMQ by an AMQP handshake, its management API, or both; with the depth of its queues."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Sequence
from typing import Any

import amqp
from kombu.utils.url import parse_url

from include.errors import ServiceUnavailableError, TradingOpsError
from include.health.entry import RABBITMQ, Entry, Finding, Level, answered
from include.health.http_probes import http_get

MAX_QUEUE_DEPTH = 1000
RABBITMQ_SLOW_S = 5.0
SHOWN_QUEUES = 10


def probe_rabbitmq(url: str | None, management_url: str | None, queues: Sequence[str], timeout_s: float) -> Entry:
    """Log in over AMQP and ask how many messages wait in the named queues; ask the management API about all queues.

    With both addresses AMQP decides whether the broker is up, and a management API that fails is a warning.

    :param queues: names of the queues in the AMQP address's virtual host; those that do not exist count as empty.
    :raises ServiceUnavailableError: when the broker does not answer, or refuses the login.
    """
    began = time.monotonic()
    depths: dict[str, int] = {}
    findings: list[Finding] = []
    if url:
        depths |= _amqp_depths(url, queues, timeout_s)
    took_s = time.monotonic() - began
    if management_url:
        try:
            depths |= _management_depths(management_url, max(0.1, timeout_s - took_s - 0.2))
        except TradingOpsError as error:
            if not url:
                raise
            text = f"⚠️ {RABBITMQ} degraded: its management API fails ({error!s:.150})"
            findings.append(Finding(RABBITMQ, "management", Level.WARNING, text))
        took_s = took_s if url else time.monotonic() - began
    deep = {name: depth for name, depth in sorted(depths.items()) if depth > MAX_QUEUE_DEPTH}
    if deep:
        named = ", ".join(f"{name} has {depth} messages" for name, depth in list(deep.items())[:SHOWN_QUEUES])
        more = f" and {len(deep) - SHOWN_QUEUES} more queues" if len(deep) > SHOWN_QUEUES else ""
        text = f"⚠️ {RABBITMQ} queue depth high: {named}{more} (limit {MAX_QUEUE_DEPTH})"
        findings.append(Finding(RABBITMQ, "queue_depth", Level.WARNING, text))
    deepest = dict(sorted(depths.items(), key=lambda pair: -pair[1])[:SHOWN_QUEUES])
    facts: dict[str, Any] = {"queues": [{"name": name, "messages": depth} for name, depth in deepest.items()]}
    return answered(RABBITMQ, took_s, RABBITMQ_SLOW_S, tuple(findings), **facts)


def _amqp_depths(url: str, queues: Sequence[str], timeout_s: float) -> dict[str, int]:
    address = parse_url(url)
    host = address.get("hostname") or "localhost"
    secure = address.get("transport") == "amqps"
    try:
        with amqp.Connection(
            host=f"{host}:{address.get('port') or (5671 if secure else 5672)}",
            userid=address.get("userid") or "guest",
            password=address.get("password") or "guest",
            virtual_host=address.get("virtual_host") or "/",
            ssl={"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": host} if secure else False,
            connect_timeout=timeout_s,
            read_timeout=timeout_s,
            write_timeout=timeout_s,
        ) as connection:
            return {name: depth for name in queues if (depth := _depth(connection, name)) is not None}
    except (OSError, amqp.AMQPError) as error:
        raise ServiceUnavailableError(f"no AMQP connection to {host} ({type(error).__name__}: {error})") from None


def _depth(connection: Any, queue: str) -> int | None:
    channel = connection.channel()
    try:
        depth = int(channel.queue_declare(queue, passive=True).message_count)
    except amqp.NotFound:
        return None  # and the server has closed the channel
    channel.close()
    return depth


def _management_depths(url: str, timeout_s: float) -> dict[str, int]:
    path = "/api/queues?columns=name,messages&disable_stats=false"
    answer = http_get(url, path, timeout_s)
    if answer.status != 200:
        raise ServiceUnavailableError(f"the management API answered status {answer.status}")
    try:
        return {str(queue["name"]): int(queue.get("messages", 0)) for queue in json.loads(answer.body)}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ServiceUnavailableError(f"the management API answered something else ({error!s:.100})") from None
