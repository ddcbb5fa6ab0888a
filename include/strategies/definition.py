"""What a strategy is: typed parameters, and a position for every bar that depends on bars up to it alone.

A file in `include/strategies/catalogue` defines one and assigns it to `STRATEGY`; nothing else needs to know it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from include.market.candles import Candles

FloatArray = NDArray[np.float64]
Positions = NDArray[np.int8]
"""Shape `(n,)`: the position wanted after the close of each bar: 1 long, -1 short, 0 none."""

SEARCH = "search"
"""Key of a field's `json_schema_extra`: the range in which an optimisation looks for it (:class:`SearchRange`)."""


class StrategyParams(BaseModel):
    """Base of the strategies' parameters: frozen, no unknown names, numbers that are finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)


@dataclass(frozen=True)
class SearchRange:
    """The values that an optimisation tries for one parameter: `low`, `low + step`, ... up to `high`."""

    low: float
    high: float
    step: float

    def values(self) -> tuple[int | float, ...]:
        """Return the values, ascending; whole numbers where all three numbers are."""
        count = round((self.high - self.low) / self.step) + 1
        whole = all(float(number).is_integer() for number in (self.low, self.high, self.step))
        raw = [round(self.low + i * self.step, 10) for i in range(count)]
        return tuple(int(value) for value in raw) if whole else tuple(raw)


def searched(default: Any, low: float, high: float, step: float, **field: Any) -> Any:
    """Return a pydantic field with a search range."""
    return Field(default, json_schema_extra={SEARCH: [low, high, step]}, **field)


@dataclass(frozen=True, eq=False)
class Indicator:
    """A series that the report draws; `overlay` puts it on the price chart."""

    name: str
    values: FloatArray
    overlay: bool


Params = TypeVar("Params", bound=StrategyParams)


class StrategyDefinition(ABC, Generic[Params]):
    """A trading rule."""

    title: ClassVar[str]
    """How people call it."""
    rule: ClassVar[str]
    """When it enters and leaves, in a sentence."""
    params_model: type[Params]

    @abstractmethod
    def lookback(self, params: Params) -> int:
        """Return how many bars the longest indicator needs before it says anything."""

    @abstractmethod
    def positions(self, candles: Candles, params: Params) -> Positions:
        """Return the wanted position after each bar's close, shape `(n,)`; 0 while an indicator is not defined."""

    @abstractmethod
    def indicators(self, candles: Candles, params: Params) -> list[Indicator]:
        """Return the series that explain the positions."""

    def search_space(self) -> dict[str, SearchRange]:
        """Return the ranges of the parameters that an optimisation varies, by name."""
        space = {}
        for name, field in self.params_model.model_fields.items():
            extra = field.json_schema_extra
            if isinstance(extra, dict) and SEARCH in extra:
                space[name] = SearchRange(*extra[SEARCH])  # type: ignore[misc]
        return space
