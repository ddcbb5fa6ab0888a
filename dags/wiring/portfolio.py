"""The steps of `daily_portfolio_report` between Airflow, the engine and the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dags.wiring.params import run_params
from dags.wiring.retry import last_try
from include.tasks_api.params.reports import PortfolioReportParams

Context = Mapping[str, Any]

ENGINE_RETRIES = 1
"""The report is sent within five minutes of its start, also without the engine: there is no time for more."""


def measure(context: Context) -> dict[str, Any]:
    """Read the engine's two answers and return the report, JSON-able.

    What still fails in the last try is missing in the report.

    :raises include.errors.TransientError: before the last try.
    """
    from datetime import UTC, datetime

    import httpx

    from dags.wiring.runtime import engine
    from include.errors import TransientError
    from include.settings import get_settings
    from include.trading.portfolio_report import build_portfolio_report

    run_params(PortfolioReportParams, context)
    client, now = engine(), datetime.now(UTC)
    failures: dict[str, TransientError] = {}

    def read(name: str, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except TransientError as error:
            failures[name] = error
            return None

    portfolio, trades = read("portfolio", client.portfolio), read("trades", client.closed_trades)
    if failures and not last_try(context, ENGINE_RETRIES):
        raise next(iter(failures.values()))
    where = httpx.URL(get_settings().engine_base_url)
    report = build_portfolio_report(
        portfolio,
        trades,
        now,
        problems={name: str(error) for name, error in failures.items()},
        stored_equity=_stored_equity(now),
        source=f"the core engine at {where.host}{f':{where.port}' if where.port else ''}",
    )
    return report.model_dump(mode="json")


def store(raw: dict[str, Any], context: Context) -> str:
    """Keep the report in `portfolio_reports`, or in the spool while MongoDB is away."""
    from dags.wiring.storage import keep
    from include.store.collections import PORTFOLIO_REPORTS
    from include.trading.portfolio_report import PortfolioReport, portfolio_document

    return keep(context, PORTFOLIO_REPORTS, portfolio_document(PortfolioReport.model_validate(raw)))


def notify(raw: dict[str, Any], context: Context) -> dict[str, str] | None:
    """Send the report with its chart; return the state per channel."""
    from dags.wiring.runtime import send
    from include.charts.equity import equity_chart
    from include.notify.reports.portfolio import portfolio_message
    from include.trading.portfolio_report import PortfolioReport

    if not run_params(PortfolioReportParams, context).notify:
        return None
    report = PortfolioReport.model_validate(raw)
    chart = equity_chart(report.curve)
    return send(portfolio_message(report, context["run_id"], chart))


def result(raw: dict[str, Any], context: Context) -> dict[str, Any]:
    """Return the result of the run as specified, and what became of its message and its document."""
    from include.trading.portfolio_report import PortfolioReport, portfolio_result

    pulled = context["ti"].xcom_pull
    answer = portfolio_result(PortfolioReport.model_validate(raw), context["run_id"])
    return {**answer, "delivery": pulled(task_ids="notify"), "kept": pulled(task_ids="store")}


def require_complete(raw: dict[str, Any]) -> None:
    """Fail a run whose report lacks what the engine should have answered; the report was sent all the same.

    :raises include.errors.TradingOpsError: naming what is missing and why.
    """
    from include.errors import TradingOpsError

    missing = {name: raw["missing"][name] for name in ("portfolio", "trades") if name in raw["missing"]}
    if missing:
        said = "; ".join(f"{name}: {why}" for name, why in missing.items())
        raise TradingOpsError(
            f"the report is {raw['status']}: {said}. It was sent as it is; clear this run when the engine is back, "
            "and a complete one is sent"
        )


def _stored_equity(now: Any) -> list[dict[str, Any]]:
    """Return the stored points of the chart; none while MongoDB is away, which the report does not need."""
    import logging
    from datetime import timedelta

    from dags.wiring.runtime import usable_database
    from include.errors import ServiceUnavailableError
    from include.store.collections import EQUITY_HISTORY
    from include.store.outage import mongo_outage
    from include.trading.equity_curve import CURVE_DAYS

    db, since = usable_database(), now - timedelta(days=CURVE_DAYS)
    if db is None:
        return []
    try:
        with mongo_outage("reading the stored equity"):
            return list(db[EQUITY_HISTORY].find({"timestamp": {"$gte": since}}, {"timestamp": 1, "equity": 1}))
    except ServiceUnavailableError as error:
        logging.getLogger(__name__).warning("the chart is without stored points of the equity: %s", error)
        return []
