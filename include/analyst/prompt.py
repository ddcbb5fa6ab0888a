"""The question to GPT-4, written from the bundle's own numbers.

Only percentages, ratios, dates, counts, symbols and model types enter it, each taken by name from the
evidence. Trade ids, prices, position sizes, balances and profits in money have no way in.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

from include.analyst.accuracy import AccuracyHistory, recent_points
from include.analyst.drift import ModelDrift
from include.analyst.evidence import Evidence, ThresholdCheck
from include.analyst.market_conditions import MarketConditions
from include.trading.performance_model import DayFigures
from include.trading.thresholds import AVG_PROFIT, SHARPE_RATIO, WIN_RATE, Threshold

PROMPT_VERSION = "2"
"""Raised with every change of the wording; stored with each decision, beside the hash."""

SHOWN_FEATURES = 5
"""Drifted features named per model, the largest first; the others are counted."""

Messages = list[dict[str, str]]

SYSTEM = (
    "You are a trading bot self-improvement AI. You judge whether the bot's prediction models should be retrained. "
    "Judge only from the numbers given. Retraining costs hours of compute and may replace a good model by a worse one; "
    "not retraining a decayed model costs money every day. Answer with one JSON object and nothing else."
)

QUESTION = """QUESTION: Should we retrain the ML models? Consider:
1. Is the performance degradation temporary (market noise) or structural (model decay)?
2. Is it due to model staleness or to a market regime change (bull to bear)?
3. Will retraining with recent data help or hurt?
4. What is the cost-benefit of retraining now against waiting?

OUTPUT FORMAT (must be valid JSON, all keys present):
{
  "reasoning": "detailed explanation of the decision",
  "recommendation": "retrain" | "wait" | "optimize_parameters",
  "model_types": which models to retrain, from ["lstm", "gru", "transformer"]; [] unless recommendation is "retrain",
  "confidence": a number from 0.0 to 1.0,
  "urgency": "low" | "medium" | "high",
  "suggested_actions": ["action1", "action2"],
  "estimated_improvement": "X% expected win rate improvement, or N/A"
}"""


def build_messages(evidence: Evidence) -> Messages:
    """Return the chat messages that put the evidence before the judge."""
    performance = evidence.performance
    metrics = performance.metrics
    days = performance.daily
    rates = _trend("Win Rate", days, lambda day: day.win_rate, WIN_RATE, metrics.win_rate)
    profits = _trend("Avg Profit", days, lambda day: day.avg_profit_per_trade, AVG_PROFIT, metrics.avg_profit_per_trade)
    sharpes = _trend(
        "Sharpe Ratio (trailing 7 days)",
        days,
        lambda day: day.trailing_sharpe_ratio,
        SHARPE_RATIO,
        metrics.sharpe_ratio,
    )
    lines = [
        "Analyze the following performance data and decide if model retraining is needed.",
        "",
        f"PERFORMANCE TRENDS (7 days until {performance.date.isoformat()}, by UTC day, {metrics.total_trades} trades):",
        rates,
        profits,
        sharpes,
        "- Trades per day: [" + ", ".join(str(day.trades) for day in days) + "]",
        "",
        "MODEL ACCURACY (last 7 days, on bars the model has not seen; baseline = best naive rule on the same bars):",
        *(_accuracy(history, evidence) for history in evidence.accuracy),
        *([] if evidence.accuracy else ["- no scores yet"]),
        "",
        "MARKET CONDITIONS:",
        *(line for market in evidence.markets for line in _market(market)),
        *([] if evidence.markets else ["- not available"]),
        "",
        "FEATURE DRIFT (population stability index of the newest bars against each model's training; not usual = above "
        "95% of the training's own weeks; for information, no threshold):",
        *(_drift(drift) for drift in evidence.drift),
        *([] if evidence.drift else ["- no deployed models"]),
        "",
        "THRESHOLDS:",
        *(_threshold(check) for check in evidence.thresholds),
        "",
        QUESTION,
    ]
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "\n".join(lines)}]


def repair_messages(messages: Sequence[dict[str, str]], raw: str, problem: str) -> Messages:
    """Return the messages of the one repair attempt: the question, the faulty answer, what is wrong with it."""
    return [
        *messages,
        {"role": "assistant", "content": raw[:4000] or "(empty)"},
        {
            "role": "user",
            "content": f"That answer cannot be used: {problem}. Answer again with one JSON object in the output "
            "format above, all keys present, and nothing before or after it.",
        },
    ]


def prompt_sha256(messages: Sequence[dict[str, str]]) -> str:
    """Return the hash of the messages, so that a stored decision names the exact question."""
    return _sha256(list(messages))


def schema_sha256(schema: dict[str, Any]) -> str:
    """Return the hash of the answer schema."""
    return _sha256(schema)


def _sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _trend(
    name: str,
    days: Sequence[DayFigures],
    figure: Callable[[DayFigures], float | None],
    threshold: Threshold,
    current: float | None,
) -> str:
    values = ", ".join(_shown(figure(day), threshold.decimals, threshold.unit) for day in days)
    now = _shown(current, threshold.decimals, threshold.unit)
    return f"- {name}: [{values}] (Target: {threshold.target:g}{threshold.unit}, 7 days: {now})"


def _accuracy(history: AccuracyHistory, evidence: Evidence) -> str:
    name = f"- {history.model_type.upper()} ({history.symbol} {history.timeframe}): "
    points = recent_points(history, evidence.performance.date)
    if not points:
        return name + "not scored on enough new bars in the last 7 days"
    last = points[-1]
    facts = []
    if len(points) > 1:
        facts.append(f"{_shown((last.accuracy - points[0].accuracy) * 100, 1, '', sign=True)} points")
    if last.baseline is not None:
        facts.append(f"baseline {last.baseline:.1%}")
    if last.skill is not None:
        facts.append(f"skill {_shown(last.skill * 100, 1, '', sign=True)} points")
    if last.bars is not None:
        facts.append(f"{last.bars} bars")
    return name + " → ".join(f"{point.accuracy:.1%}" for point in points) + (f" ({', '.join(facts)})" if facts else "")


def _market(market: MarketConditions) -> list[str]:
    if market.regime_changed is None:
        return [f"- {market.symbol}: not available ({market.reason})"]
    return [
        f"- {market.symbol} 24h Price Change: {_shown(market.price_change_24h_pct, 2, '%', sign=True)}",
        f"- {market.symbol} 24h Volume vs. 7 days before: {_shown(market.volume_change_pct, 0, '%', sign=True)}",
        f"- {market.symbol} Daily Volatility: {_shown(market.volatility_now_pct, 2, '%')} "
        f"(7 days before: {_shown(market.volatility_before_pct, 2, '%')})",
    ]


def _drift(drift: ModelDrift) -> str:
    name = f"- {drift.model_type.upper()} ({drift.symbol} {drift.timeframe}): "
    if drift.reason is not None:
        return name + f"not known ({drift.reason})"
    marked = f"{drift.above_mark} of {drift.compared} features above {drift.threshold:g}"
    if not drift.unusual:
        return name + f"nothing unusual ({marked})"
    shown = [f"{one.name} {one.psi:.2f} (usual up to {one.usual_psi:.2f})" for one in drift.unusual[:SHOWN_FEATURES]]
    more = len(drift.unusual) - len(shown)
    return (
        name + f"{len(drift.unusual)} not usual, {marked}: " + ", ".join([*shown, *([f"{more} more"] if more else [])])
    )


def _threshold(check: ThresholdCheck) -> str:
    mark = {True: "✅ met", False: "❌ not met", None: "⚠️ not known"}[check.met]
    return f"- Retrain if {check.text}: {mark} ({check.detail})"


def _shown(value: float | None, decimals: int, unit: str, *, sign: bool = False) -> str:
    if value is None:
        return "n/a"
    rounded = round(value, decimals) + 0.0  # no "-0.0"
    return f"{rounded:+.{decimals}f}{unit}" if sign else f"{rounded:.{decimals}f}{unit}"
