"""The message about a performance analysis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.notify.message import Message, Severity

if TYPE_CHECKING:
    from include.trading.performance_model import PerformanceAnalysis

SEVERITIES = {"GOOD": Severity.INFO, "WARNING": Severity.WARNING, "CRITICAL": Severity.CRITICAL}


def performance_message(analysis: PerformanceAnalysis, task_id: str) -> Message:
    """Return the summary: figures, alerts, the trend by day. Too few trades are said as information."""
    metrics = analysis.metrics
    lines = list(analysis.alerts) or [analysis.reason or "All metrics are on target."]
    if analysis.trigger_ai_analysis:
        lines.append("GPT-4 is asked for an analysis.")
    rates = [figures.win_rate for figures in analysis.daily]
    if any(rate is not None for rate in rates):
        lines.append("Win rate by day: " + ", ".join("-" if rate is None else f"{rate:.0f}%" for rate in rates))
    return Message(
        severity=SEVERITIES.get(analysis.overall, Severity.INFO),
        title=f"Daily performance analysis {analysis.date.isoformat()}: {analysis.overall.replace('_', ' ')}",
        body="\n".join(lines),
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


def _shown(value: float | None, form: str) -> str:
    return "n/a" if value is None else form.format(value)
