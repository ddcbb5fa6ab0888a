"""Parameters of `optimize_strategy`.

Names and limits are those of :mod:`include.strategies.optimise`, which is not imported here: it brings SciPy into every
parsing of the DAGs. A test compares.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from include.tasks_api.params.strategy_lab import WHAT, StrategyLabParams, form

WALK = "Out of sample"
FEWEST_VARIATIONS, MOST_VARIATIONS = 10, 500
FEWEST_WINDOWS, MOST_WINDOWS = 2, 24
LEAST_TRAIN_SHARE, MOST_TRAIN_SHARE = 0.5, 0.9
MOST_EMBARGO_DAYS = 90


class OptimizeStrategyParams(StrategyLabParams):
    """One search for a strategy's parameters, and the doubt about what it finds."""

    parameter_variations: int = Field(
        50,
        ge=FEWEST_VARIATIONS,
        le=MOST_VARIATIONS,
        title="Variations",
        description="Combinations of parameters to try, 10 to 500; each is also tried in every window.",
        json_schema_extra=form(WHAT, f"parameter_variations must be between {FEWEST_VARIATIONS} and {MOST_VARIATIONS}"),
    )
    method: Literal["grid", "genetic", "model"] = Field(
        "grid",
        title="Search",
        description="An even sample of all combinations, or a search that learns from what it has tried.",
        json_schema_extra=form(
            WHAT,
            "method must be one of: grid, genetic, model",
            values_display={"grid": "Grid", "genetic": "Genetic algorithm", "model": "Model-based (Gaussian process)"},
        ),
    )
    objective: Literal["sharpe_ratio", "sortino_ratio", "calmar_ratio", "total_return", "profit_factor"] = Field(
        "sharpe_ratio",
        title="Objective",
        description="What the best combination has most of; the list of results is ranked by the Sharpe ratio.",
        json_schema_extra=form(
            WHAT,
            "objective must be one of: sharpe_ratio, sortino_ratio, calmar_ratio, total_return, profit_factor",
            values_display={
                "sharpe_ratio": "Sharpe ratio",
                "sortino_ratio": "Sortino ratio",
                "calmar_ratio": "Calmar ratio",
                "total_return": "Total return",
                "profit_factor": "Profit factor",
            },
        ),
    )
    windows: int = Field(
        4,
        ge=FEWEST_WINDOWS,
        le=MOST_WINDOWS,
        title="Walk-forward windows",
        description="How often the search is repeated on later days, each time tried on days it has not seen; 2 to 24.",
        json_schema_extra=form(WALK, f"windows must be between {FEWEST_WINDOWS} and {MOST_WINDOWS}"),
    )
    anchored: bool = Field(
        False,
        title="Anchored windows",
        description="On: every window learns from the first day on. Off: windows of equal length roll along.",
        json_schema_extra=form(WALK, "anchored must be true or false"),
    )
    train_share: float = Field(
        0.7,
        ge=LEAST_TRAIN_SHARE,
        le=MOST_TRAIN_SHARE,
        title="Share to learn from",
        description="Of the days, in the final split and in each window: 0.5 to 0.9.",
        json_schema_extra=form(WALK, f"train_share must be between {LEAST_TRAIN_SHARE} and {MOST_TRAIN_SHARE}"),
    )
    embargo_days: int = Field(
        1,
        ge=0,
        le=MOST_EMBARGO_DAYS,
        title="Embargo (days)",
        description="Left out between what is learnt from and what is tried; at least the longest indicator.",
        json_schema_extra=form(WALK, f"embargo_days must be between 0 and {MOST_EMBARGO_DAYS}"),
    )
