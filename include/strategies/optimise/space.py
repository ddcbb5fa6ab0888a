"""Where an optimisation may look: the combinations of a strategy's search ranges that its parameters accept."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

from pydantic import ValidationError

from include.errors import BadInputError
from include.strategies.definition import StrategyDefinition, StrategyParams

Point = tuple[int, ...]
"""A place on the lattice: for each varied parameter the index of its value."""

MOST_COMBINATIONS = 100_000
"""Beyond that the ranges are refused: all combinations are looked through before the search begins."""


@dataclass(frozen=True, eq=False)
class SearchSpace:
    """The admissible points of a lattice; constraints are those of the parameters' own model (`fast < slow`).

    :param values: of each varied parameter, ascending.
    :param points: admissible ones, in the order of their indexes.
    """

    definition: StrategyDefinition[Any]
    names: tuple[str, ...]
    values: tuple[tuple[int | float, ...], ...]
    points: tuple[Point, ...]

    @classmethod
    def of(cls, definition: StrategyDefinition[Any]) -> SearchSpace:
        """Return the space of a strategy's search ranges.

        :raises BadInputError: for a strategy without ranges, too many combinations, or none that is admissible.
        """
        ranges = definition.search_space()
        names, values = tuple(ranges), tuple(found.values() for found in ranges.values())
        described = ", ".join(f"{name} {found.low:g} to {found.high:g}" for name, found in ranges.items())
        if not names:
            raise BadInputError(f"{definition.title} has no parameter with a search range, so nothing can be optimised")
        count = math.prod(len(column) for column in values)
        if count > MOST_COMBINATIONS:
            raise BadInputError(
                f"the search space of {definition.title} ({described}) has {count:,} combinations, at most "
                f"{MOST_COMBINATIONS:,} can be handled; choose wider steps or narrower ranges"
            )
        points, refusal = [], ""
        for point in product(*(range(len(column)) for column in values)):
            chosen = {name: column[i] for name, column, i in zip(names, values, point, strict=True)}
            try:
                definition.params_model.model_validate(chosen, strict=True)
            except ValidationError as error:
                refusal = refusal or str(error.errors()[0]["msg"]).removeprefix("Value error, ")
            else:
                points.append(point)
        if not points:
            raise BadInputError(
                f"the search space of {definition.title} ({described}) is empty: {refusal or 'no value is left'}; "
                f"change the range of {' or '.join(names)}"
            )
        return cls(definition, names, values, tuple(points))

    @cached_property
    def shape(self) -> Point:
        """How many values each parameter has."""
        return tuple(len(column) for column in self.values)

    @cached_property
    def longest_lookback(self) -> int:
        """Bars that the slowest variation needs before it says anything."""
        return max(self.definition.lookback(self.params(point)) for point in self.points)

    def chosen(self, point: Point) -> dict[str, int | float]:
        """Return the varied parameters of a point."""
        return {name: column[i] for name, column, i in zip(self.names, self.values, point, strict=True)}

    def params(self, point: Point) -> StrategyParams:
        """Return all parameters of a point; those that are not varied have their defaults."""
        params: StrategyParams = self.definition.params_model.model_validate(self.chosen(point), strict=True)
        return params

    def key(self, point: Point) -> str:
        """Return the point's name, under which a finished variation is remembered."""
        return ",".join(f"{name}={value:g}" for name, value in self.chosen(point).items())
