"""How good a model's forecasts were on bars it had not seen, beside the forecast that needs no learning."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.errors import BadInputError
from include.ml.bootstrap import block_interval
from include.ml.labels import LABEL_HORIZON

FloatArray = NDArray[np.float64]

MIN_BLOCK = 3 * LABEL_HORIZON
"""Labels of bars less than 8 apart share closes; three horizons were needed for calibrated intervals."""
BOOTSTRAP_SEED = 20_240_101


@dataclass(frozen=True)
class Evaluation:
    """Shares of right signs on `bars` bars (0 to 1), and the model's lead over the baseline.

    `skill = accuracy - baseline_accuracy`, `skill_low` and `skill_high` its 95 % interval; `edge` is True only
    when the lower limit is above 0: everything else means "no edge shown". `quantile_coverage_pct` maps a horizon in
    bars to the percentage of returns that fell between the 10 % and 90 % quantile (80 is right).
    """

    bars: int
    accuracy: float
    baseline_accuracy: float
    skill: float
    skill_low: float
    skill_high: float
    edge: bool
    quantile_coverage_pct: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-able values."""
        return asdict(self)


def evaluate(
    probability_up: FloatArray,
    label: FloatArray,
    baseline: FloatArray | None,
    coverage_pct: dict[str, float] | None = None,
) -> Evaluation:
    """Judge forecasts of neighbouring bars, in time order; all arrays have shape `(n,)`.

    A probability above 0.5 forecasts a rise. `baseline` is the baseline's forecast per bar (1 or 0; for the
    trend label `trend_baseline`). None stands for the return label: there the baseline is the majority class, read
    with hindsight, `max(share, 1 - share)` of these very bars, the best that a constant forecaster could
    have done. A majority class taken from the training part would be easier to beat: when the market turns, it is
    wrong most of the time, and a model that only guessed the new direction would seem skilled.

    :raises BadInputError: without bars, or for a forecast that is no number.
    """
    if not len(label):
        raise BadInputError("There is no bar with a known label to evaluate; ingest newer candles or widen the range")
    if not np.isfinite(probability_up).all():
        raise BadInputError("The model forecasts values that are not numbers; train it again")
    if baseline is None:
        baseline = np.full(len(label), float(label.mean() >= 0.5))
    right, baseline_right = (probability_up > 0.5) == (label > 0.5), (baseline > 0.5) == (label > 0.5)
    interval = block_interval(right.astype(np.float64) - baseline_right, min_block=MIN_BLOCK, seed=BOOTSTRAP_SEED)
    return Evaluation(
        bars=len(label),
        accuracy=float(right.mean()),
        baseline_accuracy=float(baseline_right.mean()),
        skill=interval.mean,
        skill_low=interval.low,
        skill_high=interval.high,
        edge=interval.low > 0,
        quantile_coverage_pct=coverage_pct or {},
    )


def coverage_pct(low: FloatArray, high: FloatArray, actual: FloatArray, horizons: tuple[int, ...]) -> dict[str, float]:
    """Return per horizon the percentage of `actual` between `low` and `high`, all `(n, horizons)`.

    NaN in `actual` (the return is not known yet) does not count; a horizon without any known return is left out.
    """
    known = np.isfinite(actual)
    inside = (actual >= low) & (actual <= high) & known
    return {
        str(horizon): float(100.0 * inside[:, at].sum() / known[:, at].sum())
        for at, horizon in enumerate(horizons)
        if known[:, at].any()
    }


def pinball_loss(
    quantiles: FloatArray, actual: FloatArray, levels: tuple[float, ...], horizons: tuple[int, ...]
) -> dict[str, float]:
    """Return per horizon the mean over bars and levels of `max(q e, (q - 1) e)`, e = actual - forecast.

    The smaller, the better; a forecast is judged by the ratio to another one's on the same bars. `quantiles` is
    `(n, horizons, levels)`, `actual` `(n, horizons)` in the same unit; NaN in `actual` does not count, and a horizon
    without any known return is left out. Source: Koenker and Bassett, Regression Quantiles, 1978.
    """
    error = actual[:, :, None] - quantiles
    share = np.asarray(levels)
    loss = np.maximum(share * error, (share - 1.0) * error).mean(axis=2)
    known = np.isfinite(actual)
    return {
        str(horizon): float(loss[known[:, at], at].mean()) for at, horizon in enumerate(horizons) if known[:, at].any()
    }
