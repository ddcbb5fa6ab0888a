"""The walk-forward's equity out of sample, window by window: an interactive page that needs no network."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
from bokeh.embed import file_html
from bokeh.layouts import column
from bokeh.models import ColumnDataSource, HoverTool
from bokeh.models.annotations import BoxAnnotation
from bokeh.models.widgets.markups import Div
from bokeh.plotting import figure
from bokeh.resources import INLINE

from include.market.candles import Candles
from include.strategies.daily import daily_equity
from include.strategies.optimise.document import Parts

WIDTH_PX, HEIGHT_PX, LOW_PX = 1100, 420, 160
VERDICT_COLOURS = {"robust": "#1a7f37", "weak": "#9a6700", "overfit": "#b42318"}


def out_of_sample_page(parts: Parts, candles: Candles) -> str:
    """Return the equity of the test parts end to end, and below it how far it lay under its peak, as HTML.

    :param candles: of the period, for the line of the coin's own price.
    """
    stitched, cash = parts.stitched, parts.request.cash_usdt
    equity = stitched.equity(cash)
    day = stitched.day_ms.astype("datetime64[ms]")
    first, end = parts.walked[0].window.test.start_ms, parts.walked[-1].window.test.end_ms
    price = daily_equity(candles.open_time, candles.close, float("nan"), first, end).equity_usdt
    lengths = [window.window.test.days for window in parts.walked]
    source = ColumnDataSource(
        {
            "day": day,
            "equity": equity,
            "coin": cash * price / price[0],
            "fall": -100 * (1 - equity / np.maximum(np.maximum.accumulate(equity), cash)),
            "parameters": np.repeat([_chosen(parts, i) for i in range(len(lengths))], lengths),
        }
    )
    curve = figure(
        x_axis_type="datetime",
        width=WIDTH_PX,
        height=HEIGHT_PX,
        y_axis_label="USDT",
        tools="xpan,xwheel_zoom,reset,save",
    )
    curve.line("day", "coin", source=source, color="#8c959f", line_dash="dashed", legend_label="the coin, held")
    line = curve.line("day", "equity", source=source, line_width=2, legend_label="out of sample")
    hover = [("day", "@day{%F}"), ("equity", "@equity{0,0.00}"), ("window chose", "@parameters")]
    curve.add_tools(HoverTool(renderers=[line], tooltips=hover, formatters={"@day": "datetime"}, mode="vline"))
    curve.legend.location = "top_left"
    fall = figure(
        x_axis_type="datetime", x_range=curve.x_range, width=WIDTH_PX, height=LOW_PX, y_axis_label="below peak, %",
        tools="xpan,xwheel_zoom,reset", toolbar_location=None,
    )  # fmt: skip
    fall.varea("day", y1=0, y2="fall", source=source, fill_alpha=0.4, color="#b42318")
    for i, window in enumerate(parts.walked):
        if i % 2:
            for plot in (curve, fall):
                test = window.window.test
                plot.add_layout(BoxAnnotation(left=test.start_ms, right=test.end_ms, fill_alpha=0.06, level="underlay"))
    title = f"{parts.space.definition.title} on {parts.request.symbol} {parts.request.timeframe}, out of sample"
    heading = Div(text=f"<h2>{escape(title)}</h2>{_verdict(parts)}", width=WIDTH_PX)
    return file_html(column(heading, curve, fall), INLINE, title)


def _verdict(parts: Parts) -> str:
    verdict = parts.robustness.verdict
    colour = VERDICT_COLOURS[verdict.word]
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in verdict.reasons)
    return (
        f"<p>{len(parts.walked)} windows, each searched on its train part only and traded here with what it chose, all "
        f'costs paid. Verdict: <b style="color:{colour}">{verdict.word}</b></p><ul>{reasons}</ul>'
    )


def _chosen(parts: Parts, i: int) -> str:
    chosen: Any = parts.walked[i].chosen
    if chosen is None:
        return "nothing"
    return ", ".join(f"{name} {chosen.parameters[name]:g}" for name in parts.space.names)
