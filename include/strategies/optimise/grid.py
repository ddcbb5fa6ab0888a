"""Grid search: the whole lattice, or an even sample of it where it is larger than the budget."""

from __future__ import annotations

from itertools import islice

from include.strategies.optimise.spread import evenly
from include.strategies.optimise.trials import Trials


def search_grid(trials: Trials, seed: int) -> None:
    """Try the points in one go; none depends on another's score."""
    trials.ask(list(islice(evenly(trials.space, seed), trials.budget)))
