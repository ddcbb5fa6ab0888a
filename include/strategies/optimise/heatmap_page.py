"""How sensitive the objective is to the parameters: an interactive page that needs no network.

backtesting.py has such heatmaps (`plot_heatmaps`), but its pages load their scripts, and a frame, from other hosts.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from html import escape
from itertools import combinations
from statistics import median
from typing import Any

from bokeh.embed import file_html
from bokeh.layouts import column, gridplot
from bokeh.models import ColumnDataSource, FactorRange, LinearColorMapper, TabPanel, Tabs
from bokeh.models.annotations import ColorBar
from bokeh.models.widgets.markups import Div
from bokeh.plotting import figure
from bokeh.resources import INLINE

from include.strategies.optimise.document import Parts
from include.strategies.optimise.objective import score
from include.strategies.optimise.space import SearchSpace

PALETTE = "Viridis256"
SIDE_PX, SCALE_PX = 380, 70
WITHOUT_VALUE = "#d9d9d9"
VIEWS: dict[str, Callable[[list[float]], float]] = {"best of each cell": max, "median of each cell": median}

Scores = list[tuple[dict[str, Any], float | None]]


def heatmap_page(parts: Parts) -> str:
    """Return the objective of the final train part over every pair of varied parameters, as HTML.

    A cell stands for all variations with these two values: their best, or their median. An even surface around the
    choice is a good sign, a single bright cell a bad one. With one varied parameter its values are drawn as bars.
    """
    objective, space = parts.request.objective, parts.space
    scores = [(variation.parameters, score(variation, objective)) for variation in parts.found.variations]
    valued = sum(value is not None for _, value in scores)
    title = f"{space.definition.title} on {parts.request.symbol} {parts.request.timeframe}: {objective}"
    heading = Div(text=f"<h2>{escape(title)}</h2><p>{_lines(parts, valued)}</p>", width=3 * SIDE_PX)
    body: list[Any] = [heading]
    chosen = parts.found.best.parameters if parts.found.best else None
    if valued and len(space.names) == 1:
        body.append(_bars(space, scores, objective))
    elif valued:
        body.append(Tabs(tabs=[TabPanel(child=_grid(space, scores, chosen, view), title=view) for view in VIEWS]))
    return file_html(column(body), INLINE, title)


def _lines(parts: Parts, valued: int) -> str:
    found, best = parts.found, parts.found.best
    lines = [
        f"{len(found.variations)} of {len(parts.space.points)} combinations tried on the train part, {valued} with a "
        "value. White: not tried; grey: without a value."
    ]
    if best:
        pairs = ", ".join(f"{name} {best.parameters[name]:g}" for name in parts.space.names)
        lines.append(f"Chosen (marked): {pairs}.")
    else:
        lines.append("Nothing was chosen: no variation traded, or none has a value of the objective.")
    return "<br>".join(lines)


def _grid(space: SearchSpace, scores: Scores, chosen: dict[str, Any] | None, view: str) -> Any:
    values = [value for _, value in scores if value is not None]
    colours = LinearColorMapper(palette=PALETTE, low=min(values), high=max(values), nan_color=WITHOUT_VALUE)
    texts = {name: [f"{value:g}" for value in column] for name, column in zip(space.names, space.values, strict=True)}
    plots: list[Any] = []
    for across, up in combinations(space.names, 2):
        plot = figure(
            x_range=FactorRange(factors=texts[across]), y_range=FactorRange(factors=texts[up]), x_axis_label=across,
            y_axis_label=up, width=SIDE_PX, height=SIDE_PX, toolbar_location=None, tools="",
            tooltips=[(across, "@across"), (up, "@up"), (view, "@value{0.000}"), ("variations", "@variations")],
        )  # fmt: skip
        plot.grid.grid_line_color = None
        plot.rect(
            "across", "up", width=1, height=1, source=_cells(scores, across, up, view), line_color=None,
            fill_color={"field": "value", "transform": colours},
        )  # fmt: skip
        if chosen:
            plot.scatter(
                [f"{chosen[across]:g}"], [f"{chosen[up]:g}"], marker="cross", size=16, line_color="red", line_width=3
            )
        plots.append(plot)
    plots[-1].width = SIDE_PX + SCALE_PX
    plots[-1].add_layout(ColorBar(color_mapper=colours, padding=4), "right")
    return gridplot(plots, ncols=3, toolbar_location=None)


def _cells(scores: Scores, across: str, up: str, view: str) -> ColumnDataSource:
    cells: dict[tuple[str, str], list[float | None]] = defaultdict(list)
    for parameters, value in scores:
        cells[f"{parameters[across]:g}", f"{parameters[up]:g}"].append(value)
    valued = [[value for value in found if value is not None] for found in cells.values()]
    return ColumnDataSource(
        {
            "across": [x for x, _ in cells],
            "up": [y for _, y in cells],
            "value": [float(VIEWS[view](found)) if found else math.nan for found in valued],
            "variations": [len(found) for found in cells.values()],
        }
    )


def _bars(space: SearchSpace, scores: Scores, objective: str) -> Any:
    (name,), (values,) = space.names, space.values
    known = {f"{parameters[name]:g}": value for parameters, value in scores if value is not None}
    plot = figure(
        x_range=FactorRange(factors=[f"{value:g}" for value in values]), x_axis_label=name, y_axis_label=objective,
        width=2 * SIDE_PX, height=SIDE_PX, toolbar_location=None, tooltips=[(name, "@x"), (objective, "@top{0.000}")],
    )  # fmt: skip
    plot.vbar(x=list(known), top=list(known.values()), width=0.8)
    return plot
