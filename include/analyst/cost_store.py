"""Where costs are read from and kept: the ledger's rows, the AI service's readings, the reports.

`api_cost_history` holds two kinds of documents: a `report` per run of the daily report, and a `reading` of the AI
service's counters every 15 minutes. A report carries its own reading, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from include.analyst.ai_service_costs import NoCostStatisticsError, read_cost_statistics
from include.analyst.cost_limits import Approval
from include.analyst.cost_report import CostSources, ServiceAnswer, since
from include.analyst.gpt4_switch import SwitchState
from include.analyst.session_counter import Reading, increases
from include.analyst.spending import Entry, ledger_entry
from include.errors import MalformedAnswerError, ServiceUnavailableError
from include.store.collections import API_COST_HISTORY, GPT4_COSTS
from include.store.outage import mongo_outage

if TYPE_CHECKING:
    from pymongo.database import Database

    from include.settings import Settings


def ask_service(settings: Settings, now: datetime) -> ServiceAnswer:
    """Ask the AI service; whatever is wrong becomes a reason, because a report without it is still a report."""
    if not settings.ai_service_base_url.strip():
        return ServiceAnswer("not_configured", reason="TRADING_OPS_AI_SERVICE_BASE_URL is empty")
    try:
        statistics = read_cost_statistics(settings.ai_service_base_url, settings.ai_service_timeout_s)
    except (NoCostStatisticsError, ServiceUnavailableError, MalformedAnswerError) as error:
        return ServiceAnswer("not_available", reason=str(error))
    return ServiceAnswer("read", statistics, reading=Reading.of(statistics, now))


def load_sources(db: Database[dict[str, Any]], service: ServiceAnswer, now: datetime) -> CostSources:
    """Return the ledger's entries and the readings that a report of `now` needs.

    :raises include.errors.ServiceUnavailableError: while MongoDB is away: without the ledger there is no report.
    """
    start = since(now)
    readings = load_readings(db, start, now)
    if service.reading is not None:
        readings.append(service.reading)
    return CostSources(load_ledger(db, start, now), increases(readings), service, now)


def load_ledger(db: Database[dict[str, Any]], start: datetime, end: datetime) -> list[Entry]:
    """Return the entries of the ledger's rows with `start <= timestamp < end`."""
    with mongo_outage("reading the costs of GPT-4"):
        return [ledger_entry(row) for row in db[GPT4_COSTS].find({"timestamp": {"$gte": start, "$lt": end}})]


def load_readings(db: Database[dict[str, Any]], start: datetime, end: datetime) -> list[Reading]:
    """Return the readings of `[start, end)`, and the last one before: what the first increase starts from."""
    has_reading = {"reading": {"$type": "object"}}
    with mongo_outage("reading the history of the AI service's costs"):
        history = db[API_COST_HISTORY]
        found = list(history.find({"timestamp": {"$gte": start, "$lt": end}, **has_reading}, {"reading": 1}))
        before = history.find({"timestamp": {"$lt": start}, **has_reading}, {"reading": 1})
        found += before.sort("timestamp", -1).limit(1)
    return [Reading(**row["reading"]) for row in found]


def reading_document(reading: Reading, run_id: str) -> dict[str, Any]:
    """Return the row of one reading; a run keeps one, however often it is tried."""
    return {
        "_id": f"reading:{run_id}",
        "kind": "reading",
        "timestamp": reading.at,
        "date": reading.at.date().isoformat(),
        "task_id": run_id,
        "reading": reading.to_document(),
    }


def report_document(report: Mapping[str, Any], reading: Reading | None) -> dict[str, Any]:
    """Return the stored form of a report: the specified keys, and the whole under `full_data`."""
    return {
        "kind": "report",
        "timestamp": datetime.fromisoformat(report["generated_at"]),
        "date": report["date"],
        "session": report["session"],
        "projections": report["projections"],
        "actual": report["actual"],
        "alerts": report["alerts"],
        "level": report["level"],
        "reading": reading.to_document() if reading else None,
        # A model's name may hold a dot, which is no good as a key of a document.
        "full_data": {**report, "by_model": rows(report["by_model"]), "by_purpose": rows(report["by_purpose"])},
    }


def rows(split: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a split as a list of rows with their `name`."""
    return [{"name": name, **figures} for name, figures in split.items()]


def approval_of(switch: SwitchState) -> Approval | None:
    """Return the approval under which GPT-4 is on, if it is on by one."""
    return Approval.from_evidence(switch.evidence) if switch.on else None
