"""What GPT-4 has cost, what it may cost, and whether it may be asked."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from include.analyst.cost_report import since
from include.analyst.cost_store import load_ledger, load_readings
from include.analyst.gpt4_switch import read_switch
from include.analyst.session_counter import increases
from include.analyst.spending import between, total
from include.metrics.gauge import Gauge, Labels

if TYPE_CHECKING:
    from pymongo.database import Database

    from include.settings import Settings


def cost_gauges(db: Database[dict[str, Any]], settings: Settings, now: datetime) -> list[Gauge]:
    """Return spending of the day and the month (UTC) by who spent it, the limits, and the switch.

    :param now: aware UTC.
    :raises include.errors.ServiceUnavailableError: while MongoDB is away.
    """
    start = since(now)
    sources = {
        "bundle": load_ledger(db, start, now),
        "ai_service": increases(load_readings(db, start, now)).entries,
    }
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    periods = {"day": today, "month": today.replace(day=1)}
    spent: dict[Labels, float] = {
        (("period", period), ("source", source)): total(between(entries, begin)).usd
        for source, entries in sources.items()
        for period, begin in periods.items()
    }
    limits: dict[Labels, float] = {
        (("level", level), ("period", period)): getattr(settings, f"{name}_cost_{level}_usd")
        for period, name in (("day", "daily"), ("month", "monthly"))
        for level in ("warning", "critical")
    }
    return [
        Gauge("trading_ops_gpt4_cost_usd", "Spending on GPT-4 since the period's beginning (UTC).", spent),
        Gauge("trading_ops_gpt4_cost_limit_usd", "Spending above which is warned or GPT-4 is switched off.", limits),
        Gauge.single("trading_ops_gpt4_on", "1 while GPT-4 may be asked.", float(read_switch(db).on)),
    ]
