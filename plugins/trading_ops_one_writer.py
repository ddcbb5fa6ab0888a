"""Lets Airflow's API server change one thing at a time where its database is SQLite; `dags/wiring/one_writer.py`."""

from __future__ import annotations

from airflow.configuration import conf
from airflow.sdk.plugins_manager import AirflowPlugin

from dags.wiring.one_writer import OneWriter

ON_SQLITE = conf.get("database", "sql_alchemy_conn", fallback="").startswith("sqlite")


class TradingOpsOneWriter(AirflowPlugin):
    """Requests that change something wait for each other, in the embedded mode."""

    name = "trading_ops_one_writer"
    fastapi_root_middlewares = [{"middleware": OneWriter, "name": "one writer"}] if ON_SQLITE else []
