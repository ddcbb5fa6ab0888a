"""The steps of `daily_api_cost_report` and `watch_api_costs` between Airflow and the analyst's room."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dags.wiring.params import run_params
from include.tasks_api.params.reports import CostReportParams, CostWatchParams

Context = Mapping[str, Any]


def measure(context: Context) -> dict[str, Any]:
    """Add up what was spent, and switch GPT-4 off when that is critical; return report, reading and alert, JSON-able.

    :raises include.errors.ServiceUnavailableError: while MongoDB is away: without the ledger there is no figure.
    """
    from datetime import UTC, datetime, timedelta

    from dags.wiring.runtime import database, send
    from include.analyst.cost_control import enforce
    from include.analyst.cost_limits import Limits
    from include.analyst.cost_report import build_cost_report, costs_of
    from include.analyst.cost_store import approval_of, ask_service, load_sources
    from include.analyst.gpt4_switch import read_switch, switched_off_since
    from include.notify.reports.cost import gpt4_off_message
    from include.settings import get_settings

    run_params(CostReportParams, context)
    settings = get_settings()
    service = ask_service(settings, datetime.now(UTC))
    db, now = database(), datetime.now(UTC)
    yesterday = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    sources = load_sources(db, service, now)
    report, finding = build_cost_report(
        sources,
        Limits.of(settings),
        settings.vnd_per_usd,
        approval_of(read_switch(db)),
        yesterday_answered=switched_off_since(db, yesterday),
    )
    costs = costs_of([*sources.ledger, *sources.counter.entries], now, with_yesterday=True)
    checked = enforce(db, finding, costs, _by(context), now)
    if checked.switched_off:
        send(gpt4_off_message(checked.switch))
    return {"report": report, "gpt4_switched_off": checked.switched_off, "reading": _shown(service.reading)}


def store(measured: dict[str, Any], context: Context) -> str:
    """Keep the report in `api_cost_history`, or in the spool while MongoDB is away."""
    from dags.wiring.storage import keep
    from include.analyst.cost_store import report_document
    from include.store.collections import API_COST_HISTORY

    return keep(context, API_COST_HISTORY, report_document(measured["report"], _read(measured["reading"])))


def notify(measured: dict[str, Any], context: Context) -> dict[str, str] | None:
    """Send the report; return the state per channel."""
    from dags.wiring.runtime import database, send
    from include.analyst.gpt4_switch import read_switch
    from include.notify.reports.cost import cost_message

    if not run_params(CostReportParams, context).notify:
        return None
    return send(cost_message(measured["report"], read_switch(database()), context["run_id"]))


def result(measured: dict[str, Any], context: Context) -> dict[str, Any]:
    """Return the result of the run as specified, and what became of its message and its document."""
    pulled = context["ti"].xcom_pull
    report = measured["report"]
    return {
        "status": "success" if report["complete"] else "partial",
        "task_id": context["run_id"],
        "report": report,
        "gpt4_switched_off": measured["gpt4_switched_off"],
        "delivery": pulled(task_ids="notify"),
        "kept": pulled(task_ids="store"),
    }


def check(context: Context) -> dict[str, Any]:
    """Read the AI service's counters, keep them, and switch GPT-4 off when the costs are critical.

    :raises include.errors.ServiceUnavailableError: while MongoDB is away; the reading is kept in the spool then.
    """
    from datetime import UTC, datetime

    from dags.wiring.runtime import database, send
    from dags.wiring.storage import keep_row
    from include.analyst.cost_control import check_costs
    from include.analyst.cost_store import ask_service, load_sources, reading_document
    from include.notify.reports.cost import gpt4_off_message
    from include.settings import get_settings
    from include.store.collections import API_COST_HISTORY

    run_params(CostWatchParams, context)
    settings = get_settings()
    service = ask_service(settings, datetime.now(UTC))
    if service.reading is not None:
        keep_row(API_COST_HISTORY, reading_document(service.reading, context["run_id"]))
    db, now = database(), datetime.now(UTC)
    checked = check_costs(db, load_sources(db, service, now), settings, _by(context), now)
    if checked.switched_off:
        send(gpt4_off_message(checked.switch))
    return {
        "ai_service": service.status,
        "reason": service.reason,
        "today_usd": checked.costs.today,
        "month_usd": checked.costs.month,
        "alerts": list(checked.finding.alerts),
        "gpt4_on": checked.switch.on,
        "gpt4_switched_off": checked.switched_off,
    }


def _by(context: Context) -> str:
    return f"{context['ti'].dag_id}/{context['run_id']}"


def _shown(reading: Any) -> dict[str, Any] | None:
    return None if reading is None else {**reading.to_document(), "at": reading.at.isoformat()}


def _read(shown: dict[str, Any] | None) -> Any:
    from datetime import datetime

    from include.analyst.session_counter import Reading

    return None if shown is None else Reading(**{**shown, "at": datetime.fromisoformat(shown["at"])})
