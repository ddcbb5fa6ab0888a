"""One combination of parameters, tried on one segment of the candles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from include.strategies.definition import FloatArray


@dataclass(frozen=True)
class Segment:
    """A part of the period in whole days `[start_ms, end_ms)`, with the name under which it is remembered."""

    name: str
    start_ms: int
    end_ms: int

    @property
    def days(self) -> int:
        """Its length."""
        return (self.end_ms - self.start_ms) // 86_400_000


@dataclass(frozen=True, eq=False)
class Variation:
    """What a combination of parameters did.

    :param key: its name, see :meth:`include.strategies.optimise.space.SearchSpace.key`.
    :param parameters: all of them, also those that are not varied.
    :param figures: as :meth:`include.strategies.figures.Figures.to_dict` says them.
    :param daily_returns: of each day of the segment, as fractions, after all costs.
    """

    key: str
    parameters: dict[str, Any]
    figures: dict[str, Any]
    daily_returns: FloatArray

    def to_stored(self) -> dict[str, Any]:
        """Return it as a mapping of plain values, to be remembered."""
        return {
            "key": self.key,
            "parameters": self.parameters,
            "figures": self.figures,
            "daily_returns": self.daily_returns.tolist(),
        }

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any]) -> Variation:
        """Return what was remembered."""
        return cls(
            str(stored["key"]),
            dict(stored["parameters"]),
            dict(stored["figures"]),
            np.array(stored["daily_returns"], dtype=np.float64),
        )

    def to_row(self) -> dict[str, Any]:
        """Return what a result lists of it: the figures (`sharpe_ratio` among them) and the parameters."""
        return {"parameters": self.parameters, **self.figures}
