"""Answers that may be given again for a while: in Redis where one is configured, else in MongoDB.

A cache that is away never fails a run: what it does not answer is a miss. After its first failure it is left
alone for the rest of the run, so that a hanging one costs a single time-out.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from pymongo import UpdateOne, WriteConcern
from pymongo.errors import PyMongoError

from include.errors import ConfigurationError
from include.notify.scrub import excerpt
from include.store.collections import RESULT_CACHE

if TYPE_CHECKING:
    from pymongo.database import Database

    from include.settings import Settings

log = logging.getLogger(__name__)

KEY_PREFIX = "trading_ops:answer:"
"""Of the keys in Redis, which other programs may share."""
REDIS_TIMEOUT_S = 2.0


class ResultCache(Protocol):
    """Keeps JSON-able answers for some seconds; neither method ever raises because the cache is away."""

    def get_many(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the answers that are still good, by key."""

    def put_many(self, values: Mapping[str, Mapping[str, Any]], ttl_s: int) -> None:
        """Keep answers for `ttl_s` seconds; 0 keeps none."""


def result_cache(db: Database[dict[str, Any]], settings: Settings) -> ResultCache:
    """Return the configured cache.

    :raises ConfigurationError: when `TRADING_OPS_REDIS_URL` is no address of a Redis.
    """
    if settings.redis_url is None:
        return MongoCache(db)
    return RedisCache(settings.redis_url.get_secret_value())


class MongoCache:
    """Answers in the collection `result_cache`; times are those of the database server.

    Its TTL index removes expired ones within about a minute; until then they are passed over.
    """

    def __init__(self, db: Database[dict[str, Any]]) -> None:
        # An answer lost with a crashed server is computed again: no need to wait for the majority.
        self._answers = db.get_collection(RESULT_CACHE, write_concern=WriteConcern(w=1))
        self._away = False

    def get_many(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """See :class:`ResultCache`."""
        if self._away or not keys:
            return {}
        good = {"_id": {"$in": list(keys)}, "$expr": {"$gt": ["$expires_at", "$$NOW"]}}
        try:
            return {
                document["_id"]: document["value"]
                for document in self._answers.find(good)
                if isinstance(document.get("value"), dict)
            }
        except PyMongoError as error:
            self._give_up(error)
            return {}

    def put_many(self, values: Mapping[str, Mapping[str, Any]], ttl_s: int) -> None:
        """See :class:`ResultCache`."""
        if self._away or not values or ttl_s <= 0:
            return
        writes = [
            UpdateOne(
                {"_id": key},
                [
                    {
                        "$replaceWith": {
                            "_id": key,
                            "value": {"$literal": dict(value)},
                            "expires_at": {"$add": ["$$NOW", ttl_s * 1000]},
                        }
                    }
                ],
                upsert=True,
            )
            for key, value in values.items()
        ]
        try:
            self._answers.bulk_write(writes, ordered=False)
        except PyMongoError as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._away = True
        log.warning("no answers are cached in this run: MongoDB said %s: %s", type(error).__name__, excerpt(error))


class RedisCache:
    """Answers in a Redis, as JSON, each with its own expiry.

    :param url: `redis://...` or `rediss://...`; it may hold a password and is never logged.
    """

    def __init__(self, url: str) -> None:
        from redis import Redis

        try:
            self._redis = Redis.from_url(
                url,
                socket_timeout=REDIS_TIMEOUT_S,
                socket_connect_timeout=REDIS_TIMEOUT_S,
                # Else the client looks its own version up among all installed packages, to tell the server.
                driver_info=None,
            )
        except ValueError as error:
            raise ConfigurationError(
                "TRADING_OPS_REDIS_URL is no address of a Redis: use redis://host:6379/0 or rediss://..."
            ) from error
        self._away = False

    def get_many(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """See :class:`ResultCache`."""
        from redis import RedisError

        if self._away or not keys:
            return {}
        try:
            found = self._redis.mget([KEY_PREFIX + key for key in keys])
        except RedisError as error:
            self._give_up(error)
            return {}
        read = {key: _read(text) for key, text in zip(keys, found, strict=True) if text is not None}
        return {key: value for key, value in read.items() if value is not None}

    def put_many(self, values: Mapping[str, Mapping[str, Any]], ttl_s: int) -> None:
        """See :class:`ResultCache`."""
        from redis import RedisError

        if self._away or not values or ttl_s <= 0:
            return
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                for key, value in values.items():
                    pipeline.set(KEY_PREFIX + key, json.dumps(value, allow_nan=False), ex=ttl_s)
                pipeline.execute()
        except RedisError as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._away = True
        log.warning("no answers are cached in this run: Redis said %s: %s", type(error).__name__, excerpt(error))


def _read(text: bytes | str) -> dict[str, Any] | None:
    """Return an answer, or None for what somebody else wrote there."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
