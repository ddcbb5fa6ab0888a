"""The message about the daily portfolio report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.notify.message import Image, Message, Severity
from include.notify.reports.render import number, pct, render, usdt, when

if TYPE_CHECKING:
    from include.trading.portfolio_report import PortfolioReport

SEVERITIES = {"complete": Severity.INFO, "partial": Severity.WARNING, "unavailable": Severity.ERROR}


def portfolio_message(report: PortfolioReport, task_id: str, png: bytes | None = None) -> Message:
    """Return the report as a message; said once per run and state of its data, so that a later, complete one is sent.

    :param png: the equity chart, if there is something to draw.
    """
    image = _chart(report, png) if png else None
    severity = SEVERITIES[report.status]
    if report.disagreements and severity == Severity.INFO:
        severity = Severity.WARNING
    title = f"Daily portfolio report {report.date.isoformat()}: {_headline(report)}"
    strategies = [
        (name, number(row.trades), pct(row.win_rate, 1), pct(row.profit, 2, sign=True), usdt(row.pnl_usdt))
        for name, row in (report.strategies or {}).items()
    ]
    problems = [f"{name}: {report.missing[name]}" for name in ("portfolio", "trades") if name in report.missing]
    rendered = render(
        "portfolio",
        {
            "title": title,
            "report": report,
            "strategies": strategies,
            "problems": problems,
            "image": image,
            "sources": _sources(report),
            "task_id": task_id,
        },
    )
    fields = {
        "Balance": usdt(report.balance),
        "Total return": pct(report.total_return_pct, 2, sign=True),
        "Closed trades": number(report.total_trades),
        "Win rate": pct(report.win_rate),
        "Average profit": pct(report.avg_profit_per_trade, 2, sign=True),
    }
    return Message(
        severity=severity,
        title=title,
        body=rendered.text,
        html=rendered.html,
        chat=rendered.chat,
        images=(image,) if image else (),
        fields={} if report.status == "unavailable" else fields,
        dedupe_key=f"portfolio:{task_id}:{report.status}",
        created_at=report.generated_at,
    )


def _chart(report: PortfolioReport, png: bytes) -> Image:
    from include.charts.equity import equity_alt  # imports matplotlib

    return Image("equity.png", png, equity_alt(report.curve))


def _headline(report: PortfolioReport) -> str:
    if report.status == "unavailable":
        return "no figures, the engine cannot be reached"
    if report.balance is None:
        return "incomplete, no balance"
    text = f"{usdt(report.balance)}, {pct(report.total_return_pct, 2, sign=True)}"
    return f"{text} (incomplete)" if report.status == "partial" else text


def _sources(report: PortfolioReport) -> list[str]:
    lines = [f"Data of {when(report.generated_at)}, from {report.source}; money in USDT, rates in percent."]
    if report.first_trade_at and report.last_trade_at:
        lines.append(f"Closed trades from {when(report.first_trade_at)} to {when(report.last_trade_at)}.")
    return lines
