"""Spending for tests: ledger rows, readings of the AI service, and the report made of them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from include.analyst.ai_service_costs import CostStatistics
from include.analyst.cost_limits import Approval, Finding, Limits
from include.analyst.cost_report import CostSources, ServiceAnswer, build_cost_report
from include.analyst.prices import NANO
from include.analyst.session_counter import Reading, increases
from include.analyst.spending import Entry, Spend

LIMITS = Limits(daily_warning=2.0, daily_critical=5.0, monthly_warning=50.0, monthly_critical=100.0)
VND = 25_000.0
GROK = "grok-4-1-fast-non-reasoning"
SERVICE_OFF = ServiceAnswer("not_configured", reason="no address")
_ids = itertools.count()


def paid(usd: float, at: datetime, model: str = "gpt-4o", purpose: str = "gpt4_self_analysis") -> Entry:
    return Entry(at, model, purpose, Spend(1, 500, 200, round(usd * NANO)))


def ledger_row(usd: float, at: datetime, **changes: Any) -> dict[str, Any]:
    return {
        "_id": f"row-{next(_ids)}", "task_id": "run-1", "model": "gpt-4o", "purpose": "gpt4_self_analysis", "try": 1,
        "state": "settled", "prompt_tokens": 500, "completion_tokens": 200, "total_tokens": 700, "cost_usd": usd,
        "worst_case_usd": usd, "timestamp": at, **changes,
    }  # fmt: skip


def reading(at: datetime, cost_usd: float, requests: int = 0, tokens: tuple[int, int] = (0, 0)) -> Reading:
    return Reading(at, GROK, requests or round(cost_usd * 100), tokens[0], tokens[1], cost_usd)


def answered(at: datetime, cost_usd: float, requests: int = 234) -> ServiceAnswer:
    statistics = CostStatistics(requests, 4000, 900, cost_usd, GROK, 47.405)
    return ServiceAnswer("read", statistics, reading=Reading.of(statistics, at))


def report_of(
    now: datetime,
    ledger: Sequence[Entry] = (),
    readings: Sequence[Reading] = (),
    service: ServiceAnswer = SERVICE_OFF,
    approval: Approval | None = None,
    *,
    yesterday_answered: bool = False,
) -> tuple[dict[str, Any], Finding]:
    seen = [*readings, *([service.reading] if service.reading else [])]
    sources = CostSources(ledger, increases(seen), service, now)
    return build_cost_report(sources, LIMITS, VND, approval, yesterday_answered=yesterday_answered)
