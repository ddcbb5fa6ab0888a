"""Points that cover a lattice evenly: a low-discrepancy sequence, the same for the same seed."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
from scipy.stats import qmc

from include.strategies.optimise.space import Point, SearchSpace

DRAWS_AT_ONCE = 256
FRUITLESS_DRAWS = 8
"""Batches without a new point after which what is left is walked through in steps."""


def evenly(space: SearchSpace, seed: int, without: Collection[Point] = ()) -> Iterator[Point]:
    """Yield every admissible point once, each prefix spread evenly over the space, but for those in `without`.

    A scrambled Halton sequence (A. B. Owen, 2017) is mapped to the lattice; repeated points are skipped. The last
    few, which it would hit only by chance, follow in an order drawn with the same seed.
    """
    left = dict.fromkeys(point for point in space.points if point not in without)
    sequence = qmc.Halton(len(space.names), rng=np.random.default_rng(seed))
    shape = np.array(space.shape)
    fruitless = 0
    while left and fruitless < FRUITLESS_DRAWS:
        places = np.minimum((sequence.random(DRAWS_AT_ONCE) * shape).astype(int), shape - 1)
        before = len(left)
        for place in places.tolist():
            point = tuple(place)
            if point in left:
                del left[point]
                yield point
        fruitless = 0 if len(left) < before else fruitless + 1
    rest = list(left)
    for i in np.random.default_rng(seed).permutation(len(rest)):
        yield rest[i]
