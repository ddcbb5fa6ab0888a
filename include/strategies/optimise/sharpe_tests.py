"""How far a Sharpe ratio can be believed, given its length, its tails, and how many others were tried.

All ratios here are *per observation* (a day), not annualised: the formulas count observations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from include.strategies.definition import FloatArray

EULER_GAMMA = 0.5772156649015329


@dataclass(frozen=True)
class SharpeMoments:
    """What the tests need to know of a series of returns: `skew` and `kurtosis` (3 for a normal one) of its values."""

    sharpe: float
    observations: int
    skew: float
    kurtosis: float

    @classmethod
    def of(cls, returns: FloatArray) -> SharpeMoments | None:
        """Return those of daily returns; None with fewer than 3 of them, or where all are the same."""
        if len(returns) < 3 or np.ptp(returns) == 0:
            return None
        centred = returns - returns.mean()
        variance = float(np.mean(centred**2))
        if not math.isfinite(variance) or variance < 1e-30:
            return None
        return cls(
            sharpe=float(returns.mean() / returns.std(ddof=1)),
            observations=len(returns),
            skew=float(np.mean(centred**3) / variance**1.5),
            kurtosis=float(np.mean(centred**4) / variance**2),
        )


def probabilistic_sharpe_ratio(moments: SharpeMoments, against: float = 0.0) -> float:
    """Return the probability that the true Sharpe ratio exceeds `against`, 0 to 1.

    Source: D. H. Bailey and M. Lopez de Prado, "The Sharpe Ratio Efficient Frontier", Journal of Risk, 2012.
    """
    spread = 1.0 - moments.skew * moments.sharpe + (moments.kurtosis - 1.0) / 4.0 * moments.sharpe**2
    # By kurtosis >= skew**2 + 1 it is never negative; rounding may make it so.
    spread = max(spread, 1e-12)
    return float(ndtr((moments.sharpe - against) * math.sqrt(moments.observations - 1) / math.sqrt(spread)))


def expected_best_sharpe(variance: float, trials: int) -> float:
    """Return the Sharpe ratio that the best of `trials` worthless variations is expected to show by luck alone.

    :param variance: of the Sharpe ratios of all that were tried.

    Source: D. H. Bailey and M. Lopez de Prado, "The Deflated Sharpe Ratio", Journal of Portfolio Management, 2014.
    """
    if trials < 2:
        return 0.0
    best = (1 - EULER_GAMMA) * ndtri(1 - 1 / trials) + EULER_GAMMA * ndtri(1 - 1 / (trials * math.e))
    return float(math.sqrt(max(variance, 0.0)) * best)


@dataclass(frozen=True)
class DeflatedSharpe:
    """`probability` that the chosen variation's true Sharpe ratio is above zero, given that it is the best of `trials`.

    :param threshold: the ratio that luck explains (SR0), per day.
    """

    probability: float
    threshold: float
    trials: int


def deflated_sharpe_ratio(chosen: SharpeMoments, tried: Sequence[float], trials: int) -> DeflatedSharpe:
    """Return the deflated Sharpe ratio of the chosen variation.

    :param tried: daily Sharpe ratios of the distinct variations that have one.
    :param trials: how many distinct variations were tried, those without a trade included.

    Source: as :func:`expected_best_sharpe`. The trials are counted as independent, which they are not: the threshold
    is too high rather than too low.
    """
    variance = float(np.var(tried, ddof=1)) if len(tried) > 1 else 0.0
    threshold = expected_best_sharpe(variance, trials)
    return DeflatedSharpe(probabilistic_sharpe_ratio(chosen, threshold), threshold, trials)
