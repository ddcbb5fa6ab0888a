"""Acts on a critical cost: switches GPT-4 off, with the figures as evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from include.analyst.cost_limits import Costs, Finding, Limits, judge_costs
from include.analyst.cost_report import costs_of, notes, since
from include.analyst.cost_store import approval_of, ask_service, load_sources
from include.analyst.gpt4_switch import SwitchState, read_switch, switch_off

if TYPE_CHECKING:
    from pymongo.database import Database

    from include.analyst.cost_report import CostSources
    from include.settings import Settings


@dataclass(frozen=True)
class Checked:
    """What a check found and did. `switched_off`: by this check, or by an earlier try of its run."""

    finding: Finding
    costs: Costs
    switch: SwitchState
    switched_off: bool


def check_costs(
    db: Database[dict[str, Any]], sources: CostSources, settings: Settings, by: str, now: datetime
) -> Checked:
    """Judge today and the month, and switch GPT-4 off when that is critical.

    :param by: who asks, for instance `watch_api_costs/<run id>`.
    :raises include.errors.ServiceUnavailableError: while MongoDB is away.
    """
    costs = costs_of([*sources.ledger, *sources.counter.entries], now, with_yesterday=False)
    finding = judge_costs(costs, Limits.of(settings), now, approval_of(read_switch(db)))
    return enforce(db, finding, costs, by, now)


def enforce(db: Database[dict[str, Any]], finding: Finding, costs: Costs, by: str, now: datetime) -> Checked:
    """Switch GPT-4 off where the finding says so; a repetition by the same run is recognised."""
    if finding.switch_off:
        switch_off(db, "; ".join(finding.switch_off), evidence_of(costs, finding), by, now)
    switch = read_switch(db)
    return Checked(finding, costs, switch, switched_off=not switch.on and switch.by == by)


def evidence_of(costs: Costs, finding: Finding) -> dict[str, Any]:
    """Return the figures as they are kept with the change."""
    return {
        "today_usd": costs.today,
        "month_usd": costs.month,
        "projected_day_usd": costs.projected_day,
        "yesterday_usd": costs.yesterday,
        "alerts": list(finding.alerts),
    }


def present_costs(db: Database[dict[str, Any]], settings: Settings, now: datetime) -> tuple[Costs, Mapping[str, Any]]:
    """Return what a person should see before switching GPT-4 on again: the costs, and their limits and notes."""
    sources = load_sources(db, ask_service(settings, now), now)
    costs = costs_of([*sources.ledger, *sources.counter.entries], now, with_yesterday=True)
    return costs, {"notes": notes(sources, since(now))}
