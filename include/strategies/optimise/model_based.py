"""Model-based search: a Gaussian process learns the objective, and proposes what promises the greatest improvement.

The surrogate is scikit-learn's. backtesting.py offers the library sambo instead, whose methods sample a continuous
space. On a lattice of 275 points its SCE-UA (the method that backtesting.py calls, which has no surrogate at all)
spent 275 evaluations on 109 distinct points; its surrogate search ended by itself after 129, and took minutes. Here
every untried point of the lattice is simply asked for its promise, which takes seconds.

Source of the criterion (expected improvement): D. R. Jones, M. Schonlau and W. J. Welch, "Efficient Global
Optimization of Expensive Black-Box Functions", Journal of Global Optimization 13, 1998.
"""

from __future__ import annotations

import math
import warnings
from itertools import islice
from typing import Any

import numpy as np
from scipy.special import ndtr

from include.strategies.definition import FloatArray
from include.strategies.optimise.space import Point
from include.strategies.optimise.spread import evenly
from include.strategies.optimise.trials import Trials

FIRST_SHARE, FEWEST_FIRST = 0.25, 8
"""Share of the budget that is spread evenly before anything is modelled."""
ROUNDS = 20
"""A budget is spent in about so many rounds; a round is a batch, so that all cores have work."""
SMALLEST_BATCH = 4
REFIT_GROWTH = 1.3
"""The kernel is fitted again when there are so many times more points; in between it only learns the new points."""
MOST_CANDIDATES = 1500
"""Untried points that are asked for their promise in a round; of more, an even sample."""


def search_model(trials: Trials, seed: int) -> None:
    """Try an even sample, then what the model proposes, in batches."""
    from threadpoolctl import threadpool_limits

    # On matrices this small several threads only wait for each other, and get into the way of the workers.
    with threadpool_limits(limits=1, user_api="blas"):
        _search(trials, seed)


def _search(trials: Trials, seed: int) -> None:
    first = max(FEWEST_FIRST, math.ceil(trials.budget * FIRST_SHARE))
    trials.ask(list(islice(evenly(trials.space, seed), first)))
    batch = max(SMALLEST_BATCH, trials.budget // ROUNDS)
    surrogate = _Surrogate(seed)
    for number in range(trials.budget):
        candidates = list(islice(evenly(trials.space, seed + number, without=trials.scores), MOST_CANDIDATES))
        trials.ask(surrogate.propose(trials, candidates, batch))


class _Surrogate:
    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._kernel: Any = None
        self._fitted_with = 0

    def propose(self, trials: Trials, candidates: list[Point], batch: int) -> list[Point]:
        """Return the most promising candidates, each chosen as if the ones before it had been as predicted."""
        known = {point: score for point, score in trials.scores.items() if score is not None}
        if len(set(known.values())) < 2:
            return candidates[:batch]  # nothing to learn from yet: they are spread evenly
        worst = min(known.values())
        # A variation without a value (it never traded) is as bad as the worst one: the model must not go there again.
        scores = np.array([worst if score is None else score for score in trials.scores.values()])
        scale = np.maximum(np.array(trials.space.shape) - 1, 1)
        process = self._fit(np.array(list(trials.scores)) / scale, scores)
        mean, covariance = process.predict(np.array(candidates) / scale, return_cov=True)
        best = scores.max()
        chosen: list[int] = []
        for _ in range(min(batch, len(candidates))):
            promise = _expected_improvement(mean, np.sqrt(np.maximum(np.diag(covariance), 0.0)), best)
            promise[chosen] = -1.0
            pick = int(np.argmax(promise))
            chosen.append(pick)
            best = max(best, float(mean[pick]))
            seen = covariance[:, pick]
            if covariance[pick, pick] > 1e-12:
                covariance = covariance - np.outer(seen, seen) / covariance[pick, pick]
        return [candidates[i] for i in chosen]

    def _fit(self, places: FloatArray, scores: FloatArray) -> Any:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

        learn = self._kernel is None or len(places) >= REFIT_GROWTH * self._fitted_with
        kernel = self._kernel or (
            ConstantKernel(1.0, (1e-2, 1e2)) * Matern(np.full(places.shape[1], 0.5), (0.05, 10.0), nu=2.5)
            + WhiteKernel(0.1, (1e-4, 1.0))
        )
        process = GaussianProcessRegressor(
            kernel, normalize_y=True, random_state=self._seed, optimizer="fmin_l_bfgs_b" if learn else None
        )
        with warnings.catch_warnings():
            # A length that wants to be longer than the whole range says that the parameter does not matter.
            warnings.simplefilter("ignore", ConvergenceWarning)
            process.fit(places, scores)
        if learn:
            self._kernel, self._fitted_with = process.kernel_, len(places)
        return process


def _expected_improvement(mean: FloatArray, deviation: FloatArray, best: float) -> FloatArray:
    uncertain = deviation > 1e-12
    z = np.where(uncertain, (mean - best) / np.where(uncertain, deviation, 1.0), 0.0)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return np.where(uncertain, (mean - best) * ndtr(z) + deviation * density, np.maximum(mean - best, 0.0))
