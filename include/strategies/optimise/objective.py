"""What an optimisation maximises, and which variation it therefore chooses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from include.strategies.optimise.variation import Variation

Objective = Literal["sharpe_ratio", "sortino_ratio", "calmar_ratio", "total_return", "profit_factor"]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)


def score(variation: Variation, objective: Objective) -> float | None:
    """Return the objective's value, the higher the better.

    None without a trade, even for the total return: not to trade is not what is looked for. Also where the figure has
    no value, as the profit factor of a handful of trades that all won: such luck is not chosen.
    """
    if not variation.figures["total_trades"]:
        return None
    value: float | None = variation.figures[objective]
    return value


def choose(variations: Iterable[Variation], objective: Objective) -> Variation | None:
    """Return the variation with the highest objective, None where none has any; ties go to the first by its name."""
    scored = [(value, found) for found in variations if (value := score(found, objective)) is not None]
    if not scored:
        return None
    highest = max(value for value, _ in scored)
    return min((found for value, found in scored if value == highest), key=lambda found: found.key)


def ranked(variations: Iterable[Variation]) -> list[Variation]:
    """Return the variations by Sharpe ratio, the highest first; those without one last, by their names."""

    def place(variation: Variation) -> tuple[bool, float, str]:
        sharpe = variation.figures["sharpe_ratio"]
        return sharpe is None, -(sharpe or 0.0), variation.key

    return sorted(variations, key=place)
