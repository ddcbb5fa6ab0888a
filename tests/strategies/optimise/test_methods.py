"""The methods of search, on objectives that are computed without any backtest."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from include.strategies.optimise.methods import METHODS, Method, search
from include.strategies.optimise.space import Point, SearchSpace
from include.strategies.optimise.trials import Score, Trials
from include.strategies.registry import get_strategy, strategy_names

SPACES = {name: SearchSpace.of(get_strategy(name)) for name in strategy_names()}
Objective = Callable[[Point], Score]


def tried(
    space: SearchSpace, method: Method, budget: int, seed: int, objective: Objective
) -> tuple[Trials, list[Point]]:
    """Search; return the account, and every point that was really evaluated, in order."""
    evaluated: list[Point] = []

    def evaluate(points: Sequence[Point]) -> list[Score]:
        evaluated.extend(points)
        return [objective(point) for point in points]

    trials = Trials(space, budget, evaluate)
    search(method, trials, seed)
    return trials, evaluated


def hill(space: SearchSpace) -> Objective:
    """Return a smooth objective with one top, away from the middle, and a ripple."""

    def height(point: Point) -> float:
        places = [i / (count - 1) for i, count in zip(point, space.shape, strict=True)]
        return -sum((place - 0.7) ** 2 for place in places) + 0.01 * math.sin(40 * sum(places))

    return height


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", strategy_names())
@pytest.mark.parametrize("budget", [10, 60])
def test_exactly_the_budget_of_distinct_admissible_variations_is_evaluated(
    method: Method, name: str, budget: int
) -> None:
    space = SPACES[name]
    trials, evaluated = tried(space, method, budget, 3, hill(space))
    assert len(evaluated) == len(set(evaluated)) == len(trials.scores) == budget
    assert set(evaluated) <= set(space.points)


@pytest.mark.parametrize("method", METHODS)
def test_a_budget_that_suffices_for_the_whole_space_tries_it_once(method: Method) -> None:
    space = SPACES["volume"]
    _, evaluated = tried(space, method, 500, 3, hill(space))
    assert sorted(evaluated) == sorted(space.points)


@pytest.mark.parametrize("method", METHODS)
def test_nearly_the_whole_space_is_no_exception(method: Method) -> None:
    space = SPACES["volume"]
    _, evaluated = tried(space, method, len(space.points) - 1, 3, hill(space))
    assert len(set(evaluated)) == len(evaluated) == len(space.points) - 1


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_walks_the_same_way_and_another_seed_another(method: Method) -> None:
    space = SPACES["rsi"]
    first, again, other = (tried(space, method, 40, seed, hill(space))[1] for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "objective",
    [lambda _: None, lambda _: 1.0, lambda point: None if point[0] % 2 else float(point[1])],
    ids=["no value", "all equal", "every other without a value"],
)
def test_objectives_without_values_or_differences_end_the_budget_too(method: Method, objective: Objective) -> None:
    _, evaluated = tried(SPACES["rsi"], method, 30, 5, objective)
    assert len(set(evaluated)) == len(evaluated) == 30


def test_a_grid_sample_uses_every_value_of_every_parameter_about_equally_often() -> None:
    space = SPACES["rsi"]
    _, evaluated = tried(space, "grid", 55, 7, hill(space))
    for i, count in enumerate(space.shape):
        uses = Counter(point[i] for point in evaluated)
        assert len(uses) == count
        assert max(uses.values()) <= 1.7 * min(uses.values())


@pytest.mark.parametrize("method", ["genetic", "model"])
@pytest.mark.parametrize("name", ["rsi", "macd"])
def test_tc_async_075_a_search_that_learns_finds_the_top_with_a_quarter_of_the_space(method: Method, name: str) -> None:
    space = SPACES[name]
    heights = {point: hill(space)(point) for point in space.points}
    third_best = sorted(heights.values())[-3]
    for seed in range(3):
        trials, _ = tried(space, method, len(space.points) // 4, seed, heights.get)
        assert max(score for score in trials.scores.values() if score is not None) >= third_best
