"""Ratios of daily returns, annualised with sqrt(365) because the market never closes; None where they mean nothing."""

from __future__ import annotations

import math

import numpy as np

from include.strategies.definition import FloatArray

DAYS_PER_YEAR = 365


def sharpe_ratio(returns: FloatArray) -> float | None:
    """Return mean over sample standard deviation of daily returns, annualised, risk-free rate 0.

    None with fewer than two distinct values: their spread is not known. Source: W. F. Sharpe, 1994.
    """
    if len(returns) < 2 or np.ptp(returns) == 0:
        return None
    return _finite(float(returns.mean() / returns.std(ddof=1)) * math.sqrt(DAYS_PER_YEAR))


def sortino_ratio(returns: FloatArray) -> float | None:
    """Return mean over downside deviation (root mean square of the negative returns, all days counted), annualised.

    None without a losing day. Source: F. A. Sortino and L. N. Price, 1994, with a target of 0.
    """
    if not len(returns):
        return None
    downside = math.sqrt(float(np.mean(np.minimum(returns, 0.0) ** 2)))
    return None if downside == 0 else _finite(float(returns.mean()) / downside * math.sqrt(DAYS_PER_YEAR))


def annual_return_pct(cash: float, final: float, days: int) -> float | None:
    """Return the compound return of a year, in percent; None where it is beyond all numbers."""
    if days <= 0:
        return None
    if final <= 0:
        return -100.0
    exponent = math.log(final / cash) * DAYS_PER_YEAR / days
    return _finite(100 * math.expm1(exponent)) if exponent < 50 else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
