"""The specification's three conditions for an emergency disable, with the evidence for each.

More than 10 % loss in a day, more than 10 losses in a row, a win rate below 30 % over the last 20 trades (the numbers
are settings). All bounds are strict: what equals one does not meet the condition.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from include.trading.day_equity import DayEquity
from include.trading.strategy_figures import StrategyFigures

if TYPE_CHECKING:
    from include.settings import Settings

Kind = Literal["daily_loss", "consecutive_losses", "win_rate"]

MAX_DECIMALS = 6


@dataclass(frozen=True)
class Limits:
    """The thresholds; percentages and counts."""

    max_daily_loss_pct: float = 10.0
    max_consecutive_losses: int = 10
    min_win_rate_pct: float = 30.0
    win_rate_trades: int = 20

    @classmethod
    def from_settings(cls, settings: Settings) -> Limits:
        """Return the configured thresholds."""
        return cls(
            settings.max_daily_loss_pct,
            settings.max_consecutive_losses,
            settings.min_win_rate_pct,
            settings.win_rate_trades,
        )


@dataclass(frozen=True)
class Finding:
    """One condition that is met.

    `anchor` names what it began with (the day, or the first loss of the row): as long as it is the same, so is the
    situation, however the numbers move.
    """

    kind: Kind
    reason: str
    value: float
    threshold: float
    trade_ids: tuple[str, ...]
    anchor: str

    def to_dict(self) -> dict[str, Any]:
        """Return it JSON-able."""
        return {
            "condition": self.kind,
            "reason": self.reason,
            "value": self.value,
            "threshold": self.threshold,
            "trade_ids": list(self.trade_ids),
        }


def judge(figures: StrategyFigures, equity: DayEquity, limits: Limits) -> tuple[Finding, ...]:
    """Return the conditions that these figures meet; what is not known meets none.

    >>> from datetime import UTC, datetime
    >>> from include.trading.strategy_figures import figures_of
    >>> midnight = datetime(2025, 11, 22, tzinfo=UTC)
    >>> day = DayEquity(midnight, 10_000.0, "balance_now", midnight)
    >>> judge(figures_of("rsi", [], day, 20), day, Limits())
    ()
    """
    findings: list[Finding] = []
    day = equity.day_start.date().isoformat()
    loss, streak, rate = figures.daily_loss_pct, figures.losing_streak, figures.win_rate_pct
    if loss is not None and loss > limits.max_daily_loss_pct:
        shown = _shown(loss, limits.max_daily_loss_pct)
        reason = f"Daily loss: {shown}% of the equity at 00:00 UTC"
        findings.append(Finding("daily_loss", reason, loss, limits.max_daily_loss_pct, figures.daily_ids, day))
    if streak > limits.max_consecutive_losses:
        reason, first = f"Consecutive losses: {streak} trades", str(figures.streak_first_id)
        findings.append(
            Finding("consecutive_losses", reason, streak, limits.max_consecutive_losses, figures.streak_ids, first)
        )
    if rate is not None and rate < limits.min_win_rate_pct:
        shown = _shown(rate, limits.min_win_rate_pct)
        reason = f"Win rate: {shown}% over the last {figures.win_rate_trades} trades"
        findings.append(Finding("win_rate", reason, rate, limits.min_win_rate_pct, figures.win_rate_ids, day))
    return tuple(findings)


def reason_of(findings: Sequence[Finding]) -> str:
    """Return the reasons in one line."""
    return "; ".join(finding.reason for finding in findings)


def evidence_of(figures: StrategyFigures, findings: Sequence[Finding], equity: DayEquity) -> dict[str, Any]:
    """Return figures, conditions and the equity that they rest on, JSON-able."""
    return {
        "figures": figures.to_dict(),
        "conditions": [finding.to_dict() for finding in findings],
        "equity_at_midnight": equity.to_dict(),
    }


def situation_of(figures: StrategyFigures, findings: Sequence[Finding]) -> str:
    """Return a short key of what is wrong with whom since when; numbers that go on falling do not change it.

    What goes wrong after a person has enabled the strategy again is another situation, also on the same day.
    """
    began = sorted((finding.kind, finding.anchor) for finding in findings)
    since = None if figures.since is None else figures.since.isoformat()
    return hashlib.sha256(json.dumps([figures.strategy, since, began]).encode()).hexdigest()[:12]


def _shown(value: float, limit: float) -> str:
    """Return the value with as many decimals as it takes to differ from its limit (10.04 is not "10.0% > 10%")."""
    decimals = 1
    while decimals < MAX_DECIMALS and round(value, decimals) == round(limit, decimals):
        decimals += 1
    return f"{value:.{decimals}f}"
