"""The equity chart of the portfolio report."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from matplotlib.dates import DateFormatter, DayLocator, date2num
from matplotlib.ticker import StrMethodFormatter

from include.charts.canvas import BLUE, ORANGE, TEXT, new_figure, png, style

if TYPE_CHECKING:
    from include.trading.equity_curve import EquityCurve

HEIGHT_PX = 560


def equity_chart(curve: EquityCurve) -> bytes | None:
    """Return the PNG of the curve, or None when there is nothing to draw."""
    if curve.is_empty:
        return None
    figure = new_figure(HEIGHT_PX)
    axes = figure.add_subplot()
    if len(curve.realised) >= 2:
        label = "realised profit" if curve.is_profit else "realised balance"
        axes.step(
            [_days(point.at) for point in curve.realised],
            [point.usdt for point in curve.realised],
            where="post", color=BLUE, linewidth=1.6, label=label,
        )  # fmt: skip
    if len(curve.equity) >= 2:
        axes.plot(
            [_days(point.at) for point in curve.equity],
            [point.usdt for point in curve.equity],
            color=ORANGE, linewidth=1.2, linestyle="--", label="equity (with open trades)",
        )  # fmt: skip
    style(axes, "USDT since the start" if curve.is_profit else "USDT")
    axes.set_title(title(curve), fontsize=9, color=TEXT, loc="left")
    axes.set_xlabel("day (UTC)", fontsize=8, color=TEXT)
    axes.set_xlim(_days(curve.start), _days(curve.end))
    axes.margins(y=0.12)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}" if _span(curve) >= 10 else "{x:,.2f}"))
    axes.xaxis.set_major_locator(DayLocator(interval=5, tz=UTC))
    axes.xaxis.set_major_formatter(DateFormatter("%m-%d", tz=UTC))
    axes.legend(fontsize=8, frameon=False, loc="best")
    return png(figure)


def title(curve: EquityCurve) -> str:
    """Return the chart's title: what, and which days."""
    what = "Realised profit" if curve.is_profit else "Realised balance"
    return f"{what}, {curve.start:%Y-%m-%d} to {curve.end:%Y-%m-%d}"


def equity_alt(curve: EquityCurve) -> str:
    """Return what the chart shows, in words."""
    parts = []
    if len(curve.realised) >= 2:
        first, last = curve.realised[0].usdt, curve.realised[-1].usdt
        lowest = min(point.usdt for point in curve.realised)
        highest = max(point.usdt for point in curve.realised)
        parts.append(
            f"{title(curve)}: from {first:,.2f} to {last:,.2f} USDT, lowest {lowest:,.2f}, highest {highest:,.2f}"
        )
    if len(curve.equity) >= 2:
        parts.append(f"equity with open trades from {curve.equity[0].usdt:,.2f} to {curve.equity[-1].usdt:,.2f} USDT")
    return "; ".join(parts) + "."


def _days(moment: datetime) -> float:
    return float(date2num(moment))


def _span(curve: EquityCurve) -> float:
    values = [point.usdt for point in (*curve.realised, *curve.equity)]
    return max(values) - min(values)
