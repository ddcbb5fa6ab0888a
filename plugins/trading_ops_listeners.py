"""Registers the listeners that write audit rows and dead letters; their code is in `include/audit/`."""

from __future__ import annotations

from airflow.sdk.plugins_manager import AirflowPlugin

from include.audit import listeners as audit_listeners


class TradingOpsListeners(AirflowPlugin):
    """Audit rows and dead letters of every DAG."""

    name = "trading_ops_listeners"
    listeners = [audit_listeners]  # noqa: RUF012 - Airflow declares it without ClassVar
