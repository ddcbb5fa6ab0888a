"""The methods of search by name. Each tries exactly the budget of distinct variations, or the whole space."""

from __future__ import annotations

from typing import Literal, get_args

from include.strategies.optimise.trials import BudgetSpentError, Trials

Method = Literal["grid", "genetic", "model"]
METHODS: tuple[Method, ...] = get_args(Method)


def search(method: Method, trials: Trials, seed: int) -> None:
    """Spend the budget of trials. Where it suffices for the whole space, that is tried whatever the method."""
    try:
        if trials.budget == len(trials.space.points):
            trials.ask(trials.space.points)
        _begin(method, trials, seed)
    except BudgetSpentError:
        return
    raise AssertionError(f"{method} left {trials.left} of {trials.budget} variations untried")


def _begin(method: Method, trials: Trials, seed: int) -> None:
    # Imported when they are needed: who only checks a request does not wait for SciPy and scikit-learn.
    if method == "grid":
        from include.strategies.optimise.grid import search_grid

        search_grid(trials, seed)
    elif method == "genetic":
        from include.strategies.optimise.genetic import search_genetic

        search_genetic(trials, seed)
    else:
        from include.strategies.optimise.model_based import search_model

        search_model(trials, seed)
