"""Which probes this deployment has: one per name, none for a service that it does not use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from include.health.entry import AI_SERVICE, DISK, ENGINE, FRONTEND, MEMORY, MONGODB, RABBITMQ, REDIS
from include.health.http_probes import probe_ai_service, probe_engine, probe_frontend
from include.health.rabbitmq_probe import probe_rabbitmq
from include.health.resources import UsageLimits, probe_disk, probe_memory
from include.health.store_probes import probe_mongodb, probe_redis

if TYPE_CHECKING:
    from pydantic import SecretStr
    from pymongo.database import Database

    from include.health.probing import Probe
    from include.settings import Settings


def configured_probes(
    settings: Settings, database: Callable[[], Database[dict[str, Any]]], queues: Sequence[str]
) -> Mapping[str, Probe | None]:
    """Return the probe of each of the eight entries; None where the address is empty.

    :param database: opens the bundle's database.
    :param queues: names of the bundle's queues in RabbitMQ.
    """
    redis_url, rabbitmq_url, management_url = (
        _value(secret) for secret in (settings.redis_url, settings.rabbitmq_url, settings.rabbitmq_management_url)
    )
    return {
        ENGINE: partial(probe_engine, settings.engine_base_url) if settings.engine_base_url else None,
        AI_SERVICE: partial(probe_ai_service, settings.ai_service_base_url) if settings.ai_service_base_url else None,
        FRONTEND: partial(probe_frontend, settings.frontend_base_url) if settings.frontend_base_url else None,
        MONGODB: partial(probe_mongodb, database),
        REDIS: partial(probe_redis, redis_url) if redis_url else None,
        RABBITMQ: (
            partial(probe_rabbitmq, rabbitmq_url, management_url, tuple(queues))
            if rabbitmq_url or management_url
            else None
        ),
        DISK: partial(
            probe_disk,
            settings.health_disk_path,
            UsageLimits(settings.health_disk_warning_percent, settings.health_disk_critical_percent),
        ),
        MEMORY: partial(
            probe_memory, UsageLimits(settings.health_memory_warning_percent, settings.health_memory_critical_percent)
        ),
    }


def _value(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value().strip() or None if secret else None
