"""The health check's surroundings: this deployment's addresses, its database, its channels, its queues."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pymongo.database import Database


def run_health_check(context: Mapping[str, Any]) -> dict[str, Any]:
    """Check everything once, alert, keep the report, and return the result of the run.

    A service that is down is a finding, not a failure of the check: the run is green and its report critical.

    :raises include.errors.TransientError: when the report could be neither stored nor spooled.
    """
    from contextlib import nullcontext
    from datetime import datetime

    import pymongo

    from dags.wiring.defaults import PRIORITY
    from dags.wiring.runtime import send
    from dags.wiring.storage import keep
    from include.health.check import AWAY_TIMEOUT_S, HealthCheck
    from include.health.entry import DOWN, MONGODB
    from include.health.probes import configured_probes
    from include.settings import get_settings
    from include.store.collections import HEALTH_REPORTS

    settings = get_settings()
    probes = configured_probes(settings, _database, tuple(PRIORITY))
    result = HealthCheck(settings, probes, _database, send, _prepare).run(context["run_id"])
    report = result["health_report"]
    document = {**result, "timestamp": datetime.fromisoformat(report["timestamp"])}
    is_away = report["services"][MONGODB]["status"] == DOWN
    with pymongo.timeout(AWAY_TIMEOUT_S) if is_away else nullcontext():
        report["kept"] = keep(context, HEALTH_REPORTS, document)
    return result


def _database() -> Database[dict[str, Any]]:
    from include.store.mongo import get_database  # imports a provider: in the thread of the probe, not before it

    return get_database()


def _prepare() -> None:
    """Import the channels' hooks while the probes wait."""
    from include.notify.message import Severity
    from include.notify.routing import known_channels_for
    from include.notify.senders import channel_senders
    from include.settings import get_settings

    settings = get_settings()
    channel_senders(settings, known_channels_for(settings, Severity.CRITICAL))


async def say_unfinished(context: Mapping[str, Any]) -> None:
    """Say that a health check has not finished in time: nobody is watching (called by Airflow's deadline alert).

    It runs in the triggerer: a synchronous callback, which the executor runs, gets no Airflow connections in 3.3.2. The
    alert also fires for a run that has failed before its deadline; that one's task has sent a message already.

    :param context: `dag_run` as Airflow's API shows it.
    """
    import asyncio

    from dags.wiring.runtime import OVER, send
    from include.notify.health_alert import unfinished_message

    run = context["dag_run"]
    if run["state"] not in OVER:
        message = unfinished_message(run["dag_id"], run["dag_run_id"], run["state"], str(run["queued_at"]))
        await asyncio.to_thread(send, message)
