"""All doubts about a selection in one place: overfitting, luck, significance; and the verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from include.strategies.optimise.cscv import Overfitting, blocks_for, overfitting
from include.strategies.optimise.searching import Found
from include.strategies.optimise.sharpe_tests import (
    DeflatedSharpe,
    SharpeMoments,
    deflated_sharpe_ratio,
    probabilistic_sharpe_ratio,
)
from include.strategies.optimise.variation import Variation
from include.strategies.optimise.verdict import Evidence, Verdict, judge
from include.strategies.optimise.walk_forward import Stitched
from include.strategies.ratios import DAYS_PER_YEAR


@dataclass(frozen=True)
class Robustness:
    """The evidence, the verdict, and the numbers as a result shows them."""

    verdict: Verdict
    evidence: Evidence
    numbers: dict[str, Any]


def doubt(found: Found, tested: Variation | None, stitched: Stitched) -> Robustness:
    """Return what speaks for and against a selection.

    :param found: all distinct variations of the final selection; each counts as a trial.
    :param tested: the chosen one on the final test part.
    """
    moments = {variation.key: SharpeMoments.of(variation.daily_returns) for variation in found.variations}
    cscv = _cscv(found.variations)
    dsr = _dsr(found, moments)
    outside = SharpeMoments.of(stitched.returns)
    evidence = Evidence(
        in_sample_sharpe=found.best.figures["sharpe_ratio"] if found.best else None,
        test_return_pct=tested.figures["total_return"] if tested else None,
        out_of_sample_sharpe=stitched.sharpe,
        out_of_sample_return_pct=stitched.total_return_pct,
        out_of_sample_trades=stitched.trades,
        psr=probabilistic_sharpe_ratio(outside) if outside else None,
        dsr=dsr.probability if dsr else None,
        cscv=cscv,
    )
    numbers = {
        "pbo": cscv.pbo if cscv else None,
        "loss_probability": cscv.loss_probability if cscv else None,
        "degradation_slope": cscv.degradation_slope if cscv else None,
        "splits": cscv.splits if cscv else 0,
        "blocks": cscv.blocks if cscv else 0,
        "variations_that_traded": cscv.variations if cscv else sum(m is not None for m in moments.values()),
        "trials": len(found.variations),
        "deflated_sharpe_ratio": dsr.probability if dsr else None,
        "sharpe_ratio_explained_by_luck": dsr.threshold * math.sqrt(DAYS_PER_YEAR) if dsr else None,
        "probabilistic_sharpe_ratio": evidence.psr,
    }
    return Robustness(judge(evidence), evidence, {**numbers, "undefined": _why(numbers, found)})


def _cscv(variations: Sequence[Variation]) -> Overfitting | None:
    returns = np.column_stack([variation.daily_returns for variation in variations])
    blocks = blocks_for(len(returns))
    return overfitting(returns, blocks) if blocks else None


def _dsr(found: Found, moments: dict[str, SharpeMoments | None]) -> DeflatedSharpe | None:
    chosen = moments[found.best.key] if found.best else None
    if chosen is None:
        return None
    tried = [known.sharpe for known in moments.values() if known]
    return deflated_sharpe_ratio(chosen, tried, len(found.variations))


def _why(numbers: dict[str, Any], found: Found) -> dict[str, str]:
    few = "too few days in the train part, or fewer than two variations that traded"
    reasons = {
        "pbo": few,
        "loss_probability": few,
        "degradation_slope": few if numbers["pbo"] is None else "the chosen ratio in sample is always the same",
        "deflated_sharpe_ratio": "no variation was chosen" if found.best is None else "its daily returns do not differ",
        "sharpe_ratio_explained_by_luck": "no deflated Sharpe ratio",
        "probabilistic_sharpe_ratio": "the daily returns out of sample do not differ",
    }
    return {name: why for name, why in reasons.items() if numbers[name] is None}
