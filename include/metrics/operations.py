"""What people have to look at: kill switches, health, failures, letters and messages that wait."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pymongo import DESCENDING

from include.metrics.gauge import Gauge, Labels
from include.store.collections import AUDIT_LOG, DEAD_LETTERS, HEALTH_REPORTS, OUTBOX
from include.store.outage import mongo_outage
from include.trading.kill_switch import read_records

if TYPE_CHECKING:
    from pymongo.database import Database

FAILED_TRIES = ("failed", "up_for_retry", "killed")
WINDOW = timedelta(hours=1)
LONGEST_TRY = timedelta(hours=6)
"""Tries that began earlier are not looked for: no task runs so long."""
LEVEL = {"healthy": 0.0, "degraded": 1.0, "critical": 2.0}


def operation_gauges(db: Database[dict[str, Any]], now: datetime) -> list[Gauge]:
    """Return these figures.

    :param now: aware UTC.
    :raises include.errors.ServiceUnavailableError: while MongoDB is away.
    """
    records = read_records(db)
    disabled = {_label("strategy", name): float(record.disabled) for name, record in records.items()}
    unconfirmed = {
        _label("strategy", name): float(record.disabled and not record.confirmed) for name, record in records.items()
    }
    with mongo_outage("reading the figures of the operation"):
        failures = db[AUDIT_LOG].aggregate(
            [
                {"$match": {
                    "state": {"$in": list(FAILED_TRIES)},
                    "started_at": {"$gte": now - LONGEST_TRY},
                    "noted_at": {"$gte": now - WINDOW},
                }},
                {"$group": {"_id": {"dag_id": "$dag_id", "task_id": "$task_id"}, "count": {"$sum": 1}}},
            ]
        )  # fmt: skip
        failed = {_labels(row["_id"], "dag_id", "task_id"): float(row["count"]) for row in failures}
        letters = float(db[DEAD_LETTERS].count_documents({"state": "waiting"}))
        messages = float(db[OUTBOX].count_documents({"state": "pending"}))
        report = db[HEALTH_REPORTS].find_one(
            {}, {"timestamp": 1, "health_report.overall_status": 1}, sort=[("timestamp", DESCENDING)]
        )
    gauges = [
        Gauge("trading_ops_strategy_disabled", "1 for a strategy that must not trade.", disabled),
        Gauge("trading_ops_kill_switch_unconfirmed", "1 while the engine has not said that it follows.", unconfirmed),
        Gauge("trading_ops_task_failed_tries", "Failed tries of a task that ended in the last hour.", failed),
        Gauge.single("trading_ops_dead_letters_waiting", "Runs that failed for good, not dealt with.", letters),
        Gauge.single("trading_ops_outbox_pending", "Messages that not every channel has taken yet.", messages),
    ]
    if report is not None:
        level = LEVEL.get(report.get("health_report", {}).get("overall_status", ""), 2.0)
        gauges += [
            Gauge.single(
                "trading_ops_health_report_timestamp_seconds", "When the last health run's probes had answered.",
                report["timestamp"].timestamp(),
            ),
            Gauge.single("trading_ops_health_level", "0 healthy, 1 degraded, 2 critical.", level),
        ]  # fmt: skip
    return gauges


def _label(name: str, value: str) -> Labels:
    return ((name, value),)


def _labels(row: Mapping[str, Any], *names: str) -> Labels:
    return tuple((name, str(row[name])) for name in names)
