"""Probability of backtest overfitting by combinatorially symmetric cross-validation (CSCV).

The days are cut into blocks; every way of calling half of them "in sample" is tried. Each time the variation with the
best Sharpe ratio in sample is looked up out of sample: how does it rank there among all? If choosing by the past is
worth nothing, it is below the median as often as above.

Source: D. H. Bailey, J. M. Borwein, M. Lopez de Prado and Q. J. Zhu, "The Probability of Backtest Overfitting",
Journal of Computational Finance 20(4), 2017.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from include.strategies.definition import FloatArray

BLOCKS = 16
FEWEST_BLOCKS, FEWEST_DAYS_A_BLOCK = 8, 4
CELLS_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class Overfitting:
    """What the splits have shown.

    :param pbo: share of splits in which the best in sample was below the median out of sample; at the median: half.
    :param loss_probability: share of splits in which the best in sample lost money out of sample; nothing: half.
    :param degradation_slope: of the chosen variation's daily Sharpe ratio out of sample over that in sample, by least
        squares; below 0: the better it looked, the worse it was. None where the ratio in sample does not vary.
    :param splits, blocks, variations: how many there were; only variations that traded take part.
    """

    pbo: float
    loss_probability: float
    degradation_slope: float | None
    splits: int
    blocks: int
    variations: int


def blocks_for(days: int) -> int:
    """Return in how many blocks so many days are cut: 16, or as many as leave 4 days a block; 0: too few days."""
    blocks = min(BLOCKS, days // FEWEST_DAYS_A_BLOCK // 2 * 2)
    return blocks if blocks >= FEWEST_BLOCKS else 0


def overfitting(returns: FloatArray, blocks: int = BLOCKS) -> Overfitting | None:
    """Return what CSCV says of daily returns, shape `(days, variations)`; None with fewer than two that ever moved.

    Blocks differ by at most a day. Sums and sums of squares of the blocks give every split's Sharpe ratios at once.
    A variation that did not move in the chosen half of the days has no Sharpe ratio there: it is not chosen, as a
    search would not choose it; out of sample it counts as 0. Ties share their ranks.

    :param blocks: even.
    """
    moving = returns[:, np.ptp(returns, axis=0) > 0]
    variations = moving.shape[1]
    if variations < 2:
        return None
    edges = np.linspace(0, len(moving), blocks + 1).astype(int)
    counts = np.diff(edges).astype(np.float64)
    # Means are taken off for the variances (they would lose their digits otherwise) and kept for the ratios.
    centre = moving.mean(axis=0)
    sums = np.add.reduceat(moving - centre, edges[:-1], axis=0)
    squares = np.add.reduceat((moving - centre) ** 2, edges[:-1], axis=0)
    halves = np.array(list(combinations(range(blocks), blocks // 2)))
    inside = np.zeros((len(halves), blocks))
    np.put_along_axis(inside, halves, 1.0, axis=1)

    rank_below, lost = 0.0, 0.0
    chosen_in, chosen_out = np.empty(len(halves)), np.empty(len(halves))
    at_once = max(1, CELLS_AT_ONCE // variations)
    for first in range(0, len(halves), at_once):
        part = inside[first : first + at_once]
        sharpe_in, _ = _sharpe(part, counts, sums, squares, centre)
        sharpe_out, mean_out = _sharpe(1 - part, counts, sums, squares, centre)
        best = np.argmax(np.where(np.isnan(sharpe_in), -np.inf, sharpe_in), axis=1)
        rows = np.arange(len(part))
        known_out = np.nan_to_num(sharpe_out)
        mine = known_out[rows, best]
        below = (known_out < mine[:, None]).sum(axis=1)
        same = (known_out == mine[:, None]).sum(axis=1) - 1
        # The rank among all, 1 to n, compared with the middle (n + 1) / 2.
        side = below + same / 2 + 1 - (variations + 1) / 2
        rank_below += float((side < 0).sum() + (side == 0).sum() / 2)
        earned = mean_out[rows, best]
        lost += float((earned < 0).sum() + (earned == 0).sum() / 2)
        chosen_in[first : first + at_once], chosen_out[first : first + at_once] = sharpe_in[rows, best], mine
    return Overfitting(
        pbo=rank_below / len(halves),
        loss_probability=lost / len(halves),
        degradation_slope=_slope(chosen_in, chosen_out),
        splits=len(halves),
        blocks=blocks,
        variations=variations,
    )


def _sharpe(
    half: FloatArray, counts: FloatArray, sums: FloatArray, squares: FloatArray, centre: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return each split's daily Sharpe ratios (NaN where nothing moved) and mean returns, shape `(splits, n)`."""
    days = (half @ counts)[:, None]
    mean = half @ sums / days
    scatter = half @ squares / days - mean**2
    moved: NDArray[np.bool_] = scatter > 1e-12 * (centre**2 + squares.sum(axis=0) / counts.sum())
    deviation = np.sqrt(np.where(moved, scatter * days / (days - 1), np.nan))
    # What is left of a mean by rounding when nothing moved is none.
    total = np.where(moved | (np.abs(mean + centre) > 1e-12 * np.abs(centre)), mean + centre, 0.0)
    return total / deviation, total


def _slope(x: FloatArray, y: FloatArray) -> float | None:
    known = np.isfinite(x)
    x, y = x[known], y[known]
    if len(x) < 2 or np.ptp(x) <= 1e-12:
        return None
    return float(np.cov(x, y)[0, 1] / np.var(x, ddof=1))
