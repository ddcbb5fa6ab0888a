"""The account of a search: which variations were tried, what they scored, and how many may still be tried."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from include.strategies.optimise.space import Point, SearchSpace

Score = float | None
"""The objective, the higher the better; None where it has no value."""

Evaluate = Callable[[Sequence[Point]], list[Score]]


class BudgetSpentError(Exception):
    """Every variation that may be tried has been; ends a search, whatever its method was about to do."""


class Trials:
    """Evaluates distinct admissible points, exactly up to the budget or the whole space.

    :param budget: how many distinct points may be tried.
    :ivar scores: of all points tried, in the order of trying.
    """

    def __init__(self, space: SearchSpace, budget: int, evaluate: Evaluate) -> None:
        self.space = space
        self.budget = min(budget, len(space.points))
        self.scores: dict[Point, Score] = {}
        self._admissible = frozenset(space.points)
        self._evaluate = evaluate

    @property
    def left(self) -> int:
        """How many may still be tried."""
        return self.budget - len(self.scores)

    def ask(self, points: Sequence[Point]) -> list[Score]:
        """Return the scores of points; a point that was tried costs nothing, one that is not admissible has None.

        :raises BudgetSpentError: after the last point that the budget allows was tried.
        """
        new = [point for point in dict.fromkeys(points) if point in self._admissible and point not in self.scores]
        new = new[: self.left]
        if new:
            self.scores.update(zip(new, self._evaluate(new), strict=True))
        if not self.left:
            raise BudgetSpentError
        return [self.scores.get(point) for point in points]
