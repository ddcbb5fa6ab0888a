"""backtesting.py's interactive report (equity, drawdown, trades, indicators) as one page that needs no network."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import pandas as pd
from bokeh.embed import file_html
from bokeh.io.state import curstate
from bokeh.resources import INLINE

from include.strategies.simulation import PlayedSimulation


def report_page(simulation: PlayedSimulation, title: str) -> str:
    """Return the page as HTML with everything inside it.

    :param simulation: played with the indicators that the page shall show.
    """
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # The library also saves a page of its own, which would load its scripts from the network.
        warnings.simplefilter("ignore")
        figure = simulation.backtest.plot(
            results=_drawable(simulation.library_stats),
            filename=str(Path(folder) / "report.html"),
            plot_drawdown=True,
            open_browser=False,
        )
    # The library gives the document of its figure, and every later one of this process, a script that loads a counter
    # of page views from its home page.
    curstate().reset()
    if figure.document is not None:
        figure.document.remove_root(figure)
    return file_html(figure, INLINE, title)


def _drawable(stats: pd.Series) -> pd.Series:
    """Return statistics in which the library finds a longest drawdown also where there was none."""
    curve = stats["_equity_curve"]
    if len(curve) < 2 or curve["DrawdownDuration"].notna().any():
        return stats
    never = pd.Series([None, pd.Timedelta(0)] + [None] * (len(curve) - 2), curve.index, dtype="timedelta64[ns]")
    stats = stats.copy()
    stats["_equity_curve"] = curve.assign(DrawdownDuration=never)
    return stats
