"""Where a run's stored pages are read."""

from __future__ import annotations

from urllib.parse import quote

PREFIX = "/strategy-reports"
"""Address of the pages below Airflow's own."""


def report_url(base_url: str, dag_id: str, run_id: str, name: str) -> str:
    """Return the address of a page.

    >>> report_url("https://ops.example/airflow/", "backtest_strategy", "manual__2026-01-01T00:00:00+00:00", "report")
    'https://ops.example/airflow/strategy-reports/backtest_strategy/manual__2026-01-01T00%3A00%3A00%2B00%3A00/report'
    """
    parts = "/".join(quote(part, safe="") for part in (dag_id, run_id, name))
    return f"{base_url.rstrip('/')}{PREFIX}/{parts}"
