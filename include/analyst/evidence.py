"""Everything the verdict rests on, in one frozen record, and the reasons to ask for a verdict at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from include.analyst.accuracy import DROP_POINTS, AccuracyFinding, AccuracyHistory, accuracy_findings
from include.analyst.drift import ModelDrift
from include.analyst.market_conditions import MarketConditions
from include.trading.performance_model import PerformanceAnalysis, Record
from include.trading.thresholds import SHARPE_RATIO, WIN_RATE

DAYS_BELOW = 3


class ThresholdCheck(Record):
    """One of the specification's four retraining thresholds; `met` is None where it cannot be known."""

    name: str
    text: str
    met: bool | None
    detail: str


class Evidence(Record):
    """The figures of one moment: trades, champions' accuracy, market, drift. Carried as JSON from task to task."""

    performance: PerformanceAnalysis
    accuracy: tuple[AccuracyHistory, ...]
    findings: tuple[AccuracyFinding, ...]
    markets: tuple[MarketConditions, ...]
    thresholds: tuple[ThresholdCheck, ...]
    drift: tuple[ModelDrift, ...] = ()


def build_evidence(
    performance: PerformanceAnalysis,
    accuracy: Sequence[AccuracyHistory],
    markets: Sequence[MarketConditions],
    drift: Sequence[ModelDrift] = (),
) -> Evidence:
    """Put the parts together, find what is wrong with the accuracy and check the thresholds."""
    findings = accuracy_findings(accuracy, performance.date)
    return Evidence(
        performance=performance,
        accuracy=tuple(accuracy),
        findings=findings,
        markets=tuple(markets),
        thresholds=(
            _win_rate_check(performance),
            _accuracy_check(accuracy, findings),
            _sharpe_check(performance),
            _regime_check(markets),
        ),
        drift=tuple(drift),
    )


def reasons_to_analyse(evidence: Evidence, force: bool) -> tuple[str, ...]:
    """Return why GPT-4 should be asked; empty when it should not.

    Any critical metric, a champion's accuracy down by more than 5 points in 7 days or under 0.65, or
    `force`. With fewer than 10 trades only `force` is a reason: a verdict could not be acted on.
    """
    reasons = list(numbers_that_are_wrong(evidence)) if evidence.performance.status == "success" else []
    if force:
        reasons.append("the analysis was forced")
    return tuple(reasons)


def numbers_that_are_wrong(evidence: Evidence) -> tuple[str, ...]:
    """Return every critical metric and accuracy finding in words."""
    critical = [f"{metric} is critical" for metric in evidence.performance.critical_metrics]
    return (*critical, *(finding.text for finding in evidence.findings))


def why_skip(evidence: Evidence, reasons: Sequence[str], already_analysed: bool, force: bool) -> str | None:
    """Return why no judge is asked, or None when one should be.

    :param already_analysed: whether a stored analysis has this evidence's :func:`finding_key`.
    """
    if force:
        return None
    if evidence.performance.status == "skipped":
        return evidence.performance.reason
    if not reasons:
        return "Performance is acceptable"
    return "This finding has already been analysed today" if already_analysed else None


def finding_key(evidence: Evidence) -> str:
    """Return the hash that names a finding: the UTC day, the critical metrics, the accuracy findings.

    The figures themselves are left out: two hours later the window has moved a little, and the finding is the same.
    """
    finding = {
        "date": evidence.performance.date.isoformat(),
        "critical": sorted(evidence.performance.critical_metrics),
        "accuracy": sorted(f"{f.kind}:{f.model_type}:{f.symbol}:{f.timeframe}" for f in evidence.findings),
    }
    return hashlib.sha256(json.dumps(finding, sort_keys=True).encode()).hexdigest()


def _win_rate_check(performance: PerformanceAnalysis) -> ThresholdCheck:
    rates = [day.win_rate for day in performance.daily if day.win_rate is not None]
    below = 0
    for rate in reversed(rates):
        if rate >= WIN_RATE.critical:
            break
        below += 1
    return ThresholdCheck(
        name="win_rate",
        text=f"win rate < {WIN_RATE.critical:.0f}% for {DAYS_BELOW}+ days",
        met=below >= DAYS_BELOW if rates else None,
        detail=f"the last {below} trading days are below" if rates else "no trades",
    )


def _accuracy_check(accuracy: Sequence[AccuracyHistory], findings: Sequence[AccuracyFinding]) -> ThresholdCheck:
    drops = [finding.text for finding in findings if finding.kind == "drop"]
    scored = any(history.points for history in accuracy)
    return ThresholdCheck(
        name="accuracy_drop",
        text=f"model accuracy drops > {DROP_POINTS:.0f} points in 7 days",
        met=bool(drops) if scored else None,
        detail="; ".join(drops) if drops else ("no such drop" if scored else "no scores yet"),
    )


def _sharpe_check(performance: PerformanceAnalysis) -> ThresholdCheck:
    sharpe = performance.metrics.sharpe_ratio
    return ThresholdCheck(
        name="sharpe_ratio",
        text=f"Sharpe ratio < {SHARPE_RATIO.critical:.1f}",
        met=None if sharpe is None else sharpe < SHARPE_RATIO.critical,
        detail=f"not available: {performance.metrics.sharpe_reason}" if sharpe is None else f"currently {sharpe:.2f}",
    )


def _regime_check(markets: Sequence[MarketConditions]) -> ThresholdCheck:
    known = [market for market in markets if market.regime_changed is not None]
    changed = [market.symbol for market in known if market.regime_changed]
    return ThresholdCheck(
        name="regime",
        text="market regime changed significantly",
        met=bool(changed) if known else None,
        detail=f"changed: {', '.join(changed)}" if changed else ("no change seen" if known else "no candles"),
    )
