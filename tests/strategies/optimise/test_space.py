"""Where an optimisation may look."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import model_validator

from include.errors import BadInputError
from include.strategies.definition import StrategyDefinition, StrategyParams, searched
from include.strategies.optimise.space import SearchSpace
from include.strategies.registry import get_strategy, strategy_names


class Definition(StrategyDefinition[Any]):
    """A strategy that is only looked at."""

    title = "Made up"
    rule = "none"

    def __init__(self, params_model: type[StrategyParams]) -> None:
        self.params_model = params_model

    def lookback(self, params: Any) -> int:
        return 1

    def positions(self, candles: Any, params: Any) -> Any:
        raise NotImplementedError

    def indicators(self, candles: Any, params: Any) -> Any:
        raise NotImplementedError


class Contradiction(StrategyParams):
    """No value of the one is below any value of the other."""

    fast: int = searched(30, 30, 50, 10)
    slow: int = searched(20, 10, 30, 10)

    @model_validator(mode="after")
    def _fast_below_slow(self) -> Contradiction:
        if self.fast >= self.slow:
            raise ValueError(f"fast must be below slow, got {self.fast} and {self.slow}")
        return self


class Fixed(StrategyParams):
    """Nothing to vary."""

    period: int = 3


class Fine(StrategyParams):
    """Far too many steps."""

    a: float = searched(1.0, 0, 1, 0.001)
    b: float = searched(1.0, 0, 1, 0.001)


@pytest.mark.parametrize("name", strategy_names())
def test_every_strategy_has_a_space_of_admissible_points_with_names_of_their_own(name: str) -> None:
    space = SearchSpace.of(get_strategy(name))
    assert len(space.points) > 50
    assert len({space.key(point) for point in space.points}) == len(space.points)
    for point in space.points:
        params = space.params(point).model_dump()
        assert params == {**params, **space.chosen(point)}
        assert space.definition.lookback(space.params(point)) <= space.longest_lookback


def test_macd_is_never_asked_for_a_fast_average_that_is_not_faster() -> None:
    space = SearchSpace.of(get_strategy("macd"))
    chosen = [space.chosen(point) for point in space.points]
    assert all(params["macd_fast"] < params["macd_slow"] for params in chosen)
    assert {"macd_fast": 18, "macd_slow": 20, "macd_signal": 5} in chosen
    assert {"macd_fast": 20, "macd_slow": 20, "macd_signal": 5} not in chosen
    assert len(chosen) == 8 * 7 * 6 - 6


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Contradiction, r"fast 30 to 50, slow 10 to 30\) is empty: fast must be below slow, .*range of fast or slow"),
        (Fixed, "no parameter with a search range"),
        (Fine, "1,002,001 combinations, at most 100,000 .*wider steps"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused_naming_its_parameters(
    model: type[StrategyParams], message: str
) -> None:
    with pytest.raises(BadInputError, match=message):
        SearchSpace.of(Definition(model))
