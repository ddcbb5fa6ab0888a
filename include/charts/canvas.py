"""What all charts share: size, colours, and how a figure becomes the bytes of a PNG.

Matplotlib's object interface with the Agg canvas: no window, no global state, the same bytes for the same data. Drawn
at twice the width of a mail's column, so that it stays sharp where it is shown at 600 pixels.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_PX, SHOWN_WIDTH_PX = 1200, 600
DPI = 200
TEXT = "#1f2937"
GRID = "#e5e7eb"
BLUE, ORANGE, GREEN, RED, AMBER = "#1d4ed8", "#c2410c", "#15803d", "#b91c1c", "#b45309"


def new_figure(height_px: int) -> Figure:
    """Return an empty figure of the mail's width.

    :param height_px: in the pixels of the file: twice those that are shown.
    """
    figure = Figure(figsize=(WIDTH_PX / DPI, height_px / DPI), dpi=DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def style(axes: Axes, ylabel: str) -> None:
    """Give the axes a label with its unit, a quiet grid and readable ticks."""
    axes.set_ylabel(ylabel, fontsize=8, color=TEXT)
    axes.tick_params(labelsize=8, colors=TEXT, length=3)
    axes.grid(True, axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#9ca3af")


def png(figure: Figure) -> bytes:
    """Return the figure as a PNG without a time stamp or the program's version in it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
