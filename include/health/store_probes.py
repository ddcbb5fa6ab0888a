"""MongoDB and Redis: a ping, and how long it took."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pymongo
from pymongo.errors import PyMongoError
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from include.errors import ServiceUnavailableError
from include.health.entry import MONGODB, REDIS, Entry, answered

if TYPE_CHECKING:
    from pymongo.database import Database

MONGODB_SLOW_S = 1.0
REDIS_SLOW_S = 1.0


def probe_mongodb(database: Callable[[], Database[dict[str, Any]]], timeout_s: float) -> Entry:
    """Ping the server that takes writes (a replica set without a primary is down for this bundle).

    :param database: opens the bundle's database; its client is closed again.
    :raises ServiceUnavailableError: when it does not answer.
    """
    client = database().client  # looking up the address is not MongoDB's time
    began = time.monotonic()
    try:
        with pymongo.timeout(timeout_s):
            client.admin.command("ping")
        return answered(MONGODB, time.monotonic() - began, MONGODB_SLOW_S)
    except PyMongoError as error:
        # What follows is the state of each server, a screen long.
        reason = str(error).split(" (configured timeouts")[0].split(", Timeout:")[0]
        raise ServiceUnavailableError(f"the ping failed ({type(error).__name__}: {reason})") from None
    finally:
        client.close()


def probe_redis(url: str, timeout_s: float) -> Entry:
    """Connect and send PING.

    :raises ServiceUnavailableError: when it does not answer, or refuses the login.
    """
    began = time.monotonic()
    try:
        with Redis.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
        ) as client:
            client.ping()
        return answered(REDIS, time.monotonic() - began, REDIS_SLOW_S)
    except RedisError as error:
        raise ServiceUnavailableError(f"PING failed ({error})") from None
