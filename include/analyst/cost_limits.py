"""The limits of spending on AI, and what follows when they are exceeded.

Daily: actual spending or the projection above the warning warns. Actual spending above the critical limit is critical;
a projection above it only after 06:00 UTC and with actual spending above the warning, because the early hours of a day
project anything. Monthly limits apply to the actual spending of the calendar month (UTC): a projection of a month
raises nothing. Yesterday, which no earlier report has seen as a whole, is judged as a day that is over.

Critical switches GPT-4 off. Somebody who has switched it on again has seen what it cost by then; that approval grants
the exceeded limit once more on top of what was seen, for the same day and the same month. Else the next check would
take the approval back at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from include.settings import Settings

Level = Literal["ok", "warning", "critical"]
EARLIEST_CRITICAL_PROJECTION_H = 6
MAX_DECIMALS = 9


@dataclass(frozen=True)
class Limits:
    """Money in USD; above, not at, a limit is exceeded."""

    daily_warning: float
    daily_critical: float
    monthly_warning: float
    monthly_critical: float

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """Return the configured limits."""
        return cls(
            settings.daily_cost_warning_usd,
            settings.daily_cost_critical_usd,
            settings.monthly_cost_warning_usd,
            settings.monthly_cost_critical_usd,
        )


@dataclass(frozen=True)
class Approval:
    """What had been spent when a person switched GPT-4 on again."""

    day: str
    day_usd: float
    month: str
    month_usd: float

    def to_document(self) -> dict[str, Any]:
        """Return the form in which the switch's evidence keeps it."""
        return {"day": self.day, "day_usd": self.day_usd, "month": self.month, "month_usd": self.month_usd}

    @classmethod
    def from_evidence(cls, evidence: Mapping[str, Any]) -> Approval | None:
        """Read it back; None where the last change of the switch was no approval."""
        stored = evidence.get("approval")
        return cls(**stored) if stored else None


@dataclass(frozen=True)
class Costs:
    """The figures that are judged, in USD; a projection may be missing."""

    today: float
    month: float
    projected_day: float | None = None
    yesterday: float | None = None


@dataclass(frozen=True)
class Finding:
    """Alerts, worst first; `switch_off` holds the reasons to switch GPT-4 off: none unless something is critical."""

    level: Level
    alerts: tuple[str, ...]
    switch_off: tuple[str, ...]


def judge_costs(
    costs: Costs, limits: Limits, now: datetime, approval: Approval | None = None, *, yesterday_answered: bool = False
) -> Finding:
    """Return what the figures mean.

    :param now: aware UTC.
    :param approval: of the last person who has switched GPT-4 on, if any.
    :param yesterday_answered: GPT-4 was already switched off since yesterday began, so that yesterday's excess is no
        reason to do it (again).
    """
    critical: list[str] = []
    warnings: list[str] = []
    reasons: list[str] = []
    approved_today = approval is not None and approval.day == f"{now:%Y-%m-%d}"
    approved_month = approval is not None and approval.month == f"{now:%Y-%m}"

    def exceed(text: str, covered: bool) -> None:
        critical.append(f"🚨 CRITICAL: {text}" + (" (approved by a person since)" if covered else ""))
        if not covered:
            reasons.append(text.rstrip("!"))

    if costs.today > limits.daily_critical:
        allowed = limits.daily_critical + (approval.day_usd if approval and approved_today else 0.0)
        exceed(_exceeds("Daily cost", costs.today, limits.daily_critical, "limit"), costs.today <= allowed)
    elif costs.today > limits.daily_warning:
        warnings.append("⚠️ WARNING: " + _exceeds("Daily cost", costs.today, limits.daily_warning, "warning"))
    projected = costs.projected_day
    if projected is not None and costs.today <= limits.daily_critical:
        late = now.hour >= EARLIEST_CRITICAL_PROJECTION_H
        if projected > limits.daily_critical and late and costs.today > limits.daily_warning:
            exceed(_exceeds("Projected daily cost", projected, limits.daily_critical, "limit"), approved_today)
        elif projected > limits.daily_warning and costs.today <= limits.daily_warning:
            text = _exceeds("Projected daily cost", projected, limits.daily_warning, "warning")
            warnings.append("⚠️ WARNING: " + text)
    if costs.month > limits.monthly_critical:
        allowed = limits.monthly_critical + (approval.month_usd if approval and approved_month else 0.0)
        exceed(_exceeds("Monthly cost", costs.month, limits.monthly_critical, "limit"), costs.month <= allowed)
    elif costs.month > limits.monthly_warning:
        warnings.append("⚠️ WARNING: " + _exceeds("Monthly cost", costs.month, limits.monthly_warning, "warning"))
    if costs.yesterday is not None:
        if costs.yesterday > limits.daily_critical:
            text = _exceeds("Yesterday's cost", costs.yesterday, limits.daily_critical, "limit")
            if yesterday_answered:
                warnings.append(f"⚠️ WARNING: {text} GPT-4 was switched off for it")
            else:
                exceed(text, False)
        elif costs.yesterday > limits.daily_warning:
            text = _exceeds("Yesterday's cost", costs.yesterday, limits.daily_warning, "warning")
            warnings.append("⚠️ WARNING: " + text)
    level: Level = "critical" if critical else "warning" if warnings else "ok"
    return Finding(level, (*critical, *warnings), tuple(reasons))


def _exceeds(what: str, value: float, limit: float, name: str) -> str:
    decimals = 2
    while decimals < MAX_DECIMALS and round(value, decimals) <= limit:
        decimals += 1  # $2.001 must not read "$2.00 exceeds $2.00"
    return f"{what} ${value:.{decimals}f} exceeds ${limit:.2f} {name}!"
