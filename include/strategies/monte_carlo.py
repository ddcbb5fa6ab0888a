"""How much of a result was the order and the luck of its trades: the same trades drawn again and again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from include.strategies.simulation import TradeRecord

DRAWS = 2000
LEVELS = (5, 50, 95)
FEWEST_TRADES = 5
CELLS_AT_ONCE = 4_000_000
BEYOND_ALL_NUMBERS = 1e300


def monte_carlo(trades: Sequence[TradeRecord], cash_usdt: float, seed: int, draws: int = DRAWS) -> dict[str, Any]:
    """Return the 5, 50 and 95 % quantiles of return and drawdown of `draws` random histories of the trades.

    A history has as many trades as the run, drawn with replacement (bootstrap), each earning the share of the equity
    that it earned; so trades are taken as independent of each other. Drawdowns are those between trades' ends.
    With under 5 trades there is no answer, and the reason is said.
    """
    if len(trades) < FEWEST_TRADES:
        return {"draws": 0, "reason": f"{len(trades)} trades; at least {FEWEST_TRADES} are needed"}
    shares = _shares(trades, cash_usdt)
    rng = np.random.default_rng(seed)
    final, deepest = [], []
    at_once = max(1, CELLS_AT_ONCE // len(shares))
    for first in range(0, draws, at_once):
        drawn = rng.choice(shares, size=(min(at_once, draws - first), len(shares)))
        with np.errstate(over="ignore"):
            equity = np.minimum(np.cumprod(1 + drawn, axis=1), BEYOND_ALL_NUMBERS)
        peak = np.maximum(np.maximum.accumulate(equity, axis=1), 1.0)
        final.append(equity[:, -1])
        deepest.append((1 - equity / peak).max(axis=1))
    returns, falls = 100 * (np.concatenate(final) - 1), 100 * np.concatenate(deepest)
    return {
        "draws": draws,
        "trades": len(shares),
        "total_return_pct": _quantiles(returns),
        "max_drawdown_pct": _quantiles(falls),
        "loss_probability_pct": round(float(100 * (returns < 0).mean()), 4),
    }


def _shares(trades: Sequence[TradeRecord], cash_usdt: float) -> np.ndarray:
    """Return each trade's profit as a share of the equity before it, at least -1."""
    pnl = np.array([trade.pnl_usdt for trade in trades])
    before = cash_usdt + np.concatenate([[0.0], np.cumsum(pnl)[:-1]])
    return np.maximum(pnl / np.where(before > 0, before, np.inf), -1.0)


def _quantiles(values: np.ndarray) -> dict[str, float]:
    return {
        f"p{level}": round(float(value), 6) for level, value in zip(LEVELS, np.percentile(values, LEVELS), strict=True)
    }
