"""The daily report of what the AI costs: actual spending, its split, projections, alerts. Pure.

Actual spending is the bundle's own ledger (`gpt4_costs`) plus what the bot's AI service counts
(`include/analyst/session_counter.py` says how a day is made of its counter). "The day" of a report at 09:00 is two
things, both shown: today so far, and yesterday as a whole.

A projection continues what was actually spent, evenly: `today / elapsed part of the day`, and `month to date / elapsed
part of the month * its length`. The AI service's own projection (every symbol analysed every interval) is hypothetical:
shown under its name, never judged.
"""

from __future__ import annotations

import calendar
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from include.analyst.ai_service_costs import CostStatistics
from include.analyst.cost_limits import Approval, Costs, Finding, Limits, judge_costs
from include.analyst.prices import NANO
from include.analyst.session_counter import CounterHistory, Reading
from include.analyst.spending import Entry, Spend, between, grouped, total

MIN_ELAPSED = timedelta(hours=1)
"""A shorter part of a day or month projects nothing."""
MAX_NOTES = 3
"""Of one kind; the newest."""


@dataclass(frozen=True)
class ServiceAnswer:
    """What the AI service said, or why there is nothing: `read`, `not_configured` or `not_available`."""

    status: str
    statistics: CostStatistics | None = None
    reason: str | None = None
    reading: Reading | None = None


@dataclass(frozen=True)
class CostSources:
    """Everything that the report is made of.

    :param ledger: entries of the bundle's ledger, from :func:`since` to `until` (aware UTC).
    :param counter: the AI service's increases of the same time, the present reading included.
    """

    ledger: Sequence[Entry]
    counter: CounterHistory
    service: ServiceAnswer
    until: datetime


def since(now: datetime) -> datetime:
    """Return from when on entries are needed: the month, yesterday, and on its first day the month before."""
    month = _midnight(now).replace(day=1)
    yesterday = _midnight(now) - timedelta(days=1)
    return min(month, yesterday).replace(day=1) if now.day == 1 else month


def costs_of(entries: Sequence[Entry], now: datetime, *, with_yesterday: bool) -> Costs:
    """Return the figures that the limits are about; no entry lies after `now`."""
    today = _midnight(now)
    day = total(between(entries, today)).usd
    yesterday = total(between(entries, today - timedelta(days=1), today)).usd if with_yesterday else None
    month = total(between(entries, today.replace(day=1))).usd
    return Costs(day, month, project(day, today, now, timedelta(days=1)), yesterday)


def project(spent: float, start: datetime, now: datetime, length: timedelta) -> float | None:
    """Return what the period costs if it goes on evenly; None in its first hour."""
    elapsed = now - start
    return None if elapsed < MIN_ELAPSED else spent / (elapsed / length)


def build_cost_report(
    sources: CostSources,
    limits: Limits,
    vnd_per_usd: float,
    approval: Approval | None = None,
    *,
    yesterday_answered: bool = False,
) -> tuple[dict[str, Any], Finding]:
    """Return the report, JSON-able and key by key as specified, and what its figures mean.

    :param vnd_per_usd: the rate of every `cost_vnd`.
    """
    now = sources.until
    today = _midnight(now)
    month, yesterday = today.replace(day=1), today - timedelta(days=1)
    entries = [*sources.ledger, *sources.counter.entries]
    costs = costs_of(entries, now, with_yesterday=True)
    finding = judge_costs(costs, limits, now, approval, yesterday_answered=yesterday_answered)

    def period(start: datetime, end: datetime) -> dict[str, Any]:
        return _period(sources, start, end, vnd_per_usd)

    def split(key: Callable[[Entry], str]) -> dict[str, Any]:
        sums = grouped(between(entries, month), key)
        of_today = grouped(between(entries, today), key)
        return {
            name: {**_spend(spend, vnd_per_usd), "cost_usd_today": of_today.get(name, Spend()).usd}
            for name, spend in sums.items()
        }

    actual = {"today": period(today, now), "yesterday": period(yesterday, today), "month_to_date": period(month, now)}
    if now.day == 1:
        actual["previous_month"] = period(yesterday.replace(day=1), today)
    monthly = project(costs.month, month, now, timedelta(days=calendar.monthrange(now.year, now.month)[1]))
    statistics = sources.service.statistics
    report = {
        "date": now.date().isoformat(),
        "generated_at": now.isoformat(),
        "session": _session(sources.service, vnd_per_usd),
        "actual": actual,
        "projections": {
            "daily_cost_usd": costs.projected_day,
            "monthly_cost_usd": monthly,
            "daily_cost_vnd": _vnd(costs.projected_day, vnd_per_usd),
            "monthly_cost_vnd": _vnd(monthly, vnd_per_usd),
            "reason": None if costs.projected_day is not None else "less than an hour of the day is over",
            "ai_service_hypothetical_daily_usd": statistics.daily_projection_usd if statistics else None,
        },
        "by_model": split(lambda entry: entry.model),
        "by_purpose": split(lambda entry: entry.purpose),
        "limits": {
            "daily_warning_usd": limits.daily_warning,
            "daily_critical_usd": limits.daily_critical,
            "monthly_warning_usd": limits.monthly_warning,
            "monthly_critical_usd": limits.monthly_critical,
        },
        "level": finding.level,
        "alerts": list(finding.alerts),
        "complete": sources.service.status != "not_available",
        "notes": notes(sources, since(now)),
        "vnd_per_usd": vnd_per_usd,
    }
    return report, finding


def notes(sources: CostSources, start: datetime) -> list[str]:
    """Return, in words, what the reader should know about the figures' sources."""
    counter, service = sources.counter, sources.service
    said = []
    if service.status == "not_available":
        last = f"it was last read at {_shown(counter.last)}" if counter.last else "it has never been read"
        said.append(
            f"The AI service's costs are not available ({service.reason}); {last}. "
            "What it spent since then is missing here: the totals are a lower limit."
        )
    if service.status == "not_configured":
        said.append("No AI service is configured: the totals are the bundle's own requests.")
    if counter.first is not None and counter.first >= start:
        said.append(
            f"The AI service was first read at {_shown(counter.first)}; "
            "what it spent before is not known and not counted."
        )
    restarts = [
        f"The AI service restarted before {_shown(at)}: what it spent between its last reading and the restart is "
        "lost, so the totals are a lower limit."
        for at in counter.restarts
        if at >= start
    ]
    gaps = [
        f"${gap.nano / NANO:.4f} of the AI service was spent at some time between {_shown(gap.since)} and "
        f"{_shown(gap.until)}, when it was not read; it counts on {gap.until:%Y-%m-%d}, when it was seen."
        for gap in counter.gaps
        if gap.until >= start and gap.since.date() != gap.until.date()  # within one day nothing is misdated
    ]
    return said + _newest(restarts) + _newest(gaps)


def _newest(said: list[str]) -> list[str]:
    more = len(said) - MAX_NOTES
    return said if more <= 0 else [*said[-MAX_NOTES:], f"The same happened {more} more times before."]


def _session(service: ServiceAnswer, vnd_per_usd: float) -> dict[str, Any]:
    found = service.statistics
    return {
        "status": service.status,
        "reason": service.reason,
        "total_requests": found.requests if found else None,
        "total_input_tokens": found.input_tokens if found else None,
        "total_output_tokens": found.output_tokens if found else None,
        "total_cost_usd": found.cost_usd if found else None,
        "total_cost_vnd": _vnd(found.cost_usd, vnd_per_usd) if found else None,
        "model": found.model if found else None,
    }


def _period(sources: CostSources, start: datetime, end: datetime, vnd_per_usd: float) -> dict[str, Any]:
    over = None if end == sources.until else end
    ledger = total(between(sources.ledger, start, over))
    service = total(between(sources.counter.entries, start, over))
    return {
        "start": start.isoformat(),
        "end": end.isoformat(),
        **_spend(ledger + service, vnd_per_usd),
        "ledger_usd": ledger.usd,
        "ai_service_usd": service.usd if _is_known(sources.counter, start, end) else None,
    }


def _is_known(counter: CounterHistory, start: datetime, end: datetime) -> bool:
    """Tell whether an increase of the period could have been seen: without two readings nothing is known, not 0."""
    if counter.first is None or counter.last is None or counter.first == counter.last:
        return False
    return counter.first < end and counter.last >= start


def _spend(spend: Spend, vnd_per_usd: float) -> dict[str, Any]:
    return {
        "requests": spend.requests,
        "input_tokens": spend.input_tokens,
        "output_tokens": spend.output_tokens,
        "cost_usd": spend.usd,
        "cost_vnd": _vnd(spend.usd, vnd_per_usd),
        "unsettled_usd": spend.unsettled_nano / NANO,
    }


def _vnd(usd: float | None, rate: float) -> int | None:
    return None if usd is None else round(usd * rate)


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)
