"""Registers the pages of backtests and optimisations; their code is in `include/strategies` and `dags/wiring`."""

from __future__ import annotations

from typing import Any

from airflow.sdk.plugins_manager import AirflowPlugin

from include.strategies.report_address import PREFIX


async def pages(scope: Any, receive: Any, send: Any) -> None:
    """Serve a request. Every task loads the plugins, and only the API server serves: so it is imported here."""
    from dags.wiring.report_routes import application

    await application()(scope, receive, send)


class TradingOpsReports(AirflowPlugin):
    """The stored pages of every strategy run, for who may read its DAG."""

    name = "trading_ops_reports"
    fastapi_apps = [{"app": pages, "url_prefix": PREFIX, "name": "strategy reports"}]  # noqa: RUF012 - declared so
