"""The seven-day trend of the performance report: profit and win rate by day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from include.charts.canvas import AMBER, BLUE, GREEN, RED, TEXT, new_figure, png, style
from include.trading.thresholds import WIN_RATE

if TYPE_CHECKING:
    from include.trading.performance_model import DayFigures

HEIGHT_PX = 760


def trend_chart(days: Sequence[DayFigures]) -> bytes | None:
    """Return the PNG of the days, or None when no trade closed on any of them."""
    if not any(day.trades for day in days):
        return None
    figure = new_figure(HEIGHT_PX)
    profit, rate = figure.subplots(2, 1, sharex=True)
    at = list(range(len(days)))
    returns = [day.return_pct for day in days]
    profit.bar(at, returns, color=[GREEN if value >= 0 else RED for value in returns], width=0.6)
    profit.axhline(0, color=TEXT, linewidth=0.8)
    style(profit, "sum of returns, %")
    profit.set_title("Profit by day (UTC)", fontsize=9, color=TEXT, loc="left")
    for position, day in zip(at, days, strict=True):
        if day.trades:
            profit.annotate(
                f"{day.return_pct:+.1f}", (position, day.return_pct), xytext=(0, 3 if day.return_pct >= 0 else -3),
                textcoords="offset points", ha="center", va="bottom" if day.return_pct >= 0 else "top",
                fontsize=7, color=TEXT,
            )  # fmt: skip
    profit.margins(y=0.22)
    rated = [(position, day.win_rate) for position, day in zip(at, days, strict=True) if day.win_rate is not None]
    rate.plot([x for x, _ in rated], [y for _, y in rated], color=BLUE, marker="o", markersize=4, linewidth=1.4)
    rate.axhline(WIN_RATE.target, color=AMBER, linewidth=1, linestyle="--", label=f"target {WIN_RATE.target:.0f} %")
    rate.axhline(WIN_RATE.critical, color=RED, linewidth=1, linestyle=":", label=f"critical {WIN_RATE.critical:.0f} %")
    style(rate, "win rate, %")
    rate.set_ylim(-5, 105)
    rate.set_title("Win rate by day (UTC)", fontsize=9, color=TEXT, loc="left")
    rate.set_xticks(at, [f"{day.date:%m-%d}\n{day.trades} trades" for day in days])
    rate.legend(fontsize=7, frameon=False, loc="lower right", ncols=2)
    return png(figure)


def trend_alt(days: Sequence[DayFigures]) -> str:
    """Return what the chart shows, in words: every day's figures."""
    shown = [
        f"{day.date:%m-%d}: {day.return_pct:+.2f} %, win rate {day.win_rate:.0f} % of {day.trades}"
        if day.win_rate is not None
        else f"{day.date:%m-%d}: no trades"
        for day in days
    ]
    return "Profit and win rate by day (UTC). " + "; ".join(shown) + "."
