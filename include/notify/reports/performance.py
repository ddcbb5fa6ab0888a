"""The message about a performance analysis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.notify.message import Image, Message, Severity
from include.notify.reports.render import NOT_AVAILABLE, number, pct, render, when
from include.trading.thresholds import AVG_PROFIT, SHARPE_RATIO, WIN_RATE, Threshold

if TYPE_CHECKING:
    from include.trading.performance_model import PerformanceAnalysis

SEVERITIES = {"GOOD": Severity.INFO, "WARNING": Severity.WARNING, "CRITICAL": Severity.CRITICAL}


def performance_message(analysis: PerformanceAnalysis, task_id: str, png: bytes | None = None) -> Message:
    """Return the summary: figures beside their thresholds, alerts, the trend by day. Too few trades are information.

    :param png: the trend chart, if there is something to draw.
    """
    metrics = analysis.metrics
    image = _chart(analysis, png) if png else None
    headline = list(analysis.alerts) or [analysis.reason or "All metrics are on target."]
    if analysis.trigger_ai_analysis:
        headline.append("GPT-4 is asked for an analysis.")
    title = f"Daily performance analysis {analysis.date.isoformat()}: {analysis.overall.replace('_', ' ')}"
    judged = (
        (WIN_RATE, metrics.win_rate),
        (AVG_PROFIT, metrics.avg_profit_per_trade),
        (SHARPE_RATIO, metrics.sharpe_ratio),
    )
    rendered = render(
        "performance",
        {
            "title": title,
            "analysis": analysis,
            "headline": headline,
            "grades": [_graded(threshold, value, analysis) for threshold, value in judged],
            "days": [
                (day.date.isoformat(), number(day.trades), pct(day.win_rate, 0), pct(day.return_pct, 2, sign=True))
                for day in analysis.daily
            ],
            "image": image,
            "sources": [
                f"Trades that closed from {when(analysis.window_start)} to {when(analysis.window_end)}, from the "
                "trading bot's core engine; returns in percent of the notional, after fees."
            ],
            "task_id": task_id,
        },
    )
    return Message(
        severity=SEVERITIES.get(analysis.overall, Severity.INFO),
        title=title,
        body=rendered.text,
        html=rendered.html,
        chat=rendered.chat,
        images=(image,) if image else (),
        fields={
            "Trades": str(metrics.total_trades),
            "Win Rate": _shown(metrics.win_rate, "{:.1f}%"),
            "Avg Profit": _shown(metrics.avg_profit_per_trade, "{:.2f}%"),
            "Sharpe Ratio": _shown(metrics.sharpe_ratio, "{:.2f}"),
            "Total PnL": _shown(metrics.total_pnl_usdt, "{:,.2f} USDT"),
            "Run": task_id,
        },
        dedupe_key=f"performance:{task_id}",
        created_at=analysis.window_end,
    )


def _chart(analysis: PerformanceAnalysis, png: bytes) -> Image:
    from include.charts.trend import trend_alt  # imports matplotlib

    return Image("trend.png", png, trend_alt(analysis.daily))


def _graded(threshold: Threshold, value: float | None, analysis: PerformanceAnalysis) -> tuple[str, ...]:
    unit = f" {threshold.unit}" if threshold.unit else ""
    decimals = max(threshold.decimals, 1)
    shown = NOT_AVAILABLE if value is None else f"{value:.{decimals}f}{unit}"
    status = analysis.grades[threshold.status_key].replace("_", " ")
    return threshold.label, shown, f"{threshold.target:g}{unit}", f"{threshold.critical:g}{unit}", status


def _shown(value: float | None, form: str) -> str:
    return NOT_AVAILABLE if value is None else form.format(value)
