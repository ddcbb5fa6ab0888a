"""Evolutionary search: SciPy's differential evolution on the lattice's indexes.

Source of the method: R. Storn and K. Price, "Differential Evolution", Journal of Global Optimization 11, 1997. A
population that has gone over ground already walked for some generations is replaced by a fresh one, spread evenly
over what is not tried yet: on a lattice it converges long before the budget of distinct variations is spent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import numpy as np
from scipy.optimize import differential_evolution

from include.strategies.optimise.spread import evenly
from include.strategies.optimise.trials import Score, Trials

SMALLEST_POPULATION, LARGEST_POPULATION, GENERATIONS = 8, 30, 6
"""A population is the budget's share of so many generations, within limits."""

STALE_GENERATIONS = 3
MOST_GENERATIONS = 1000


def search_genetic(trials: Trials, seed: int) -> None:
    """Evolve populations until the budget is spent."""
    size = min(max(trials.budget // GENERATIONS, SMALLEST_POPULATION), LARGEST_POPULATION)
    # SciPy rounds to whole indexes itself; a parameter with a single value cannot evolve.
    varied = [i for i, count in enumerate(trials.space.shape) if count > 1]
    for attempt in range(trials.budget):
        fresh = list(islice(evenly(trials.space, seed + attempt, without=trials.scores), size))
        if len(fresh) < SMALLEST_POPULATION or not varied:
            trials.ask(list(evenly(trials.space, seed, without=trials.scores)))
        _evolve(trials, fresh, varied, seed + attempt)


def _evolve(trials: Trials, population: list[tuple[int, ...]], varied: list[int], seed: int) -> None:
    stale = _Stale(trials)
    differential_evolution(
        _only_in_generations,
        bounds=[(0, trials.space.shape[i] - 1) for i in varied],
        init=np.array(population, dtype=float)[:, varied],
        integrality=np.ones(len(varied), dtype=bool),
        updating="deferred",
        workers=_generation(trials, varied),
        maxiter=MOST_GENERATIONS,
        tol=0.0,
        polish=False,
        callback=stale,
        rng=np.random.default_rng(seed),
    )


def _generation(trials: Trials, varied: list[int]) -> Callable[[Any, Iterable[Any]], list[float]]:
    """Return what SciPy uses as a map over a whole generation, so that it is evaluated as one batch."""

    def evaluate(_function: Any, places: Iterable[Any]) -> list[float]:
        points = []
        for place in places:
            point = [0] * len(trials.space.shape)
            for i, index in zip(varied, place, strict=True):
                point[i] = round(index)
            points.append(tuple(point))
        return [_cost(score) for score in trials.ask(points)]

    return evaluate


def _cost(score: Score) -> float:
    return math.inf if score is None else -score


def _only_in_generations(_place: Any) -> float:
    raise AssertionError("SciPy evaluates generations through `workers` only")


class _Stale:
    """Stops a population that has found nothing untried for some generations."""

    def __init__(self, trials: Trials) -> None:
        self._trials, self._tried, self._generations = trials, len(trials.scores), 0

    def __call__(self, intermediate_result: Any) -> bool:  # noqa: ARG002 - SciPy gives it by this name
        tried = len(self._trials.scores)
        self._generations = self._generations + 1 if tried == self._tried else 0
        self._tried = tried
        return self._generations >= STALE_GENERATIONS
