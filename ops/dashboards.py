"""Writes Grafana's dashboards, which are code: a list of panels below, JSON in config/grafana/dashboards.

python -m ops.dashboards
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.run_dir import REPOSITORY

FOLDER = REPOSITORY / "config" / "grafana" / "dashboards"
DATASOURCE = {"type": "prometheus", "uid": "prometheus"}
WIDTH, HEIGHT, COLUMNS = 8, 8, 3


@dataclass(frozen=True)
class Panel:
    """One picture.

    :param queries: PromQL and the legend of its lines (`{{label}}` is filled in).
    :param unit: Grafana's name of the unit: `s`, `short`, `currencyUSD`, `percentunit`, `bytes`.
    :param kind: `timeseries`, or `stat` for one number that says how things are now.
    """

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "timeseries"


TASKS = (
    Panel("Runs per hour, by result", ((
        "sum by (task_name, status) (increase(celery_task_duration_seconds_count[1h]))", "{{task_name}} {{status}}"),)),
    Panel("Share of runs that succeed, last hour", ((
        'sum by (task_name) (increase(celery_task_duration_seconds_count{status="success"}[1h]))'
        " / sum by (task_name) (increase(celery_task_duration_seconds_count[1h]))", "{{task_name}}"),), "percentunit"),
    Panel("Duration of runs, 95 % are shorter", ((
        "histogram_quantile(0.95, sum by (le, task_name) (rate(celery_task_duration_seconds_bucket[1h])))",
        "{{task_name}}"),), "s"),
    Panel("Waiting for a queue: tasks and runs", (("celery_queue_depth", "{{queue}}"),)),
    Panel("Waiting in the broker", (("celery_queue_broker_messages", "{{queue}}"),)),
    Panel("Time from scheduled to started, 95 % are shorter", ((
        "histogram_quantile(0.95, sum by (le) (rate(airflow_task_scheduled_seconds_bucket[15m])))", "scheduled"), (
        "histogram_quantile(0.95, sum by (le) (rate(airflow_task_queued_seconds_bucket[15m])))", "queued")), "s"),
    Panel("Tasks at work, per worker", (("celery_worker_tasks_active", "{{worker}}"),)),
    Panel("Workers of a queue", (("celery_queue_consumers", "{{queue}}"),)),
    Panel("Slots of the pools", (("airflow_pool_running_slots", "{{pool}} used"),
                                 ("airflow_pool_open_slots", "{{pool}} free"))),
    Panel("Failed tries in the last hour", (("trading_ops_task_failed_tries", "{{dag_id}}.{{task_id}}"),)),
    Panel("Runs that failed for good and wait for somebody", (("trading_ops_dead_letters_waiting", "dead letters"),),
          kind="stat"),
    Panel("Messages in the outbox", (("trading_ops_outbox_pending", "pending"),), kind="stat"),
)  # fmt: skip

TRADING = (
    Panel("Health: 0 good, 1 degraded, 2 critical", (("trading_ops_health_level", "health"),), kind="stat"),
    Panel("Age of the last health report", ((
        "time() - trading_ops_health_report_timestamp_seconds", "age"),), "s", "stat"),
    Panel("GPT-4 may be asked", (("trading_ops_gpt4_on", "on"),), kind="stat"),
    Panel("GPT-4: spent today", (
        ('sum(trading_ops_gpt4_cost_usd{period="day"})', "spent"),
        ('trading_ops_gpt4_cost_limit_usd{period="day"}', "{{level}}")), "currencyUSD"),
    Panel("GPT-4: spent this month", (
        ('sum(trading_ops_gpt4_cost_usd{period="month"})', "spent"),
        ('trading_ops_gpt4_cost_limit_usd{period="month"}', "{{level}}")), "currencyUSD"),
    Panel("GPT-4: by who asked, today", (('trading_ops_gpt4_cost_usd{period="day"}', "{{source}}"),), "currencyUSD"),
    Panel("Strategies that must not trade", (("trading_ops_strategy_disabled == 1", "{{strategy}}"),)),
    Panel("... and the engine has not confirmed it", (("trading_ops_kill_switch_unconfirmed == 1", "{{strategy}}"),)),
    Panel("Deployments and rollbacks so far", (("trading_ops_deployments", "{{kind}}"),)),
    Panel("Champions: accuracy", (("trading_ops_champion_accuracy", "{{model_type}} {{symbol}} {{timeframe}}"),),
          "percentunit"),
    Panel("Champions: skill (accuracy above the baseline)",
          (("trading_ops_champion_skill", "{{model_type}} {{symbol}} {{timeframe}}"),), "percentunit"),
    Panel("Champions: baseline",
          (("trading_ops_champion_baseline_accuracy", "{{model_type}} {{symbol}} {{timeframe}}"),), "percentunit"),
)  # fmt: skip

SERVICES = (
    Panel("What Prometheus reaches", (("up", "{{job}}"),)),
    Panel("What the figures are read from", (("trading_ops_source_up", "{{source}}"),)),
    Panel("Alerts", (('sum by (alertname) (ALERTS{alertstate="firing"})', "{{alertname}}"),)),
    Panel("RabbitMQ: memory", (("rabbitmq_process_resident_memory_bytes", "{{instance}}"),), "bytes"),
    Panel("RabbitMQ: free disk", (("rabbitmq_disk_space_available_bytes", "{{instance}}"),), "bytes"),
    Panel("RabbitMQ: connections", (("rabbitmq_connections", "{{instance}}"),)),
    Panel("Scheduler: tasks that wait for a pool", (("airflow_pool_starving_tasks", "{{pool}}"),)),
    Panel("Executors: tasks at work", (("airflow_executor_running_tasks", "{{executor}}"),)),
    Panel("Executors: tasks handed over, not begun", (("airflow_executor_queued_tasks", "{{executor}}"),)),
)

DASHBOARDS: dict[str, tuple[str, Sequence[Panel]]] = {
    "tasks": ("Trading Ops: tasks, queues, workers", TASKS),
    "trading": ("Trading Ops: health, costs, models, switches", TRADING),
    "services": ("Trading Ops: services", SERVICES),
}
"""File name to title and panels."""


def render(name: str) -> str:
    """Return the JSON of one dashboard."""
    title, panels = DASHBOARDS[name]
    dashboard = {
        "uid": f"trading-ops-{name}",
        "title": title,
        "tags": ["trading-ops"],
        "timezone": "utc",
        "editable": False,
        "refresh": "30s",
        "schemaVersion": 39,
        "time": {"from": "now-6h", "to": "now"},
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }
    return json.dumps(dashboard, indent=1) + "\n"


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, COLUMNS)
    return {
        "id": number + 1,
        "type": panel.kind,
        "title": panel.title,
        "datasource": DATASOURCE,
        "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}} if panel.kind == "timeseries" else {},
        "targets": [
            {"refId": chr(ord("A") + at), "expr": query, "legendFormat": legend, "datasource": DATASOURCE}
            for at, (query, legend) in enumerate(panel.queries)
        ],
    }


def main(folder: Path = FOLDER) -> int:
    """Write all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in DASHBOARDS:
        (folder / f"{name}.json").write_text(render(name), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
