"""Why a symbol was not analysed, in words that say what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "malformed",
    "unknown to Binance",
    "no model deployed",
    "model too old",
    "model unreadable",
    "no candles",
    "too few candles",
    "candles too old",
    "corrupt candles",
    "no forecast",
]
MAX_REASON = 400
"""Characters of a reason that are kept: 5,000 of them fit into one document."""


@dataclass(frozen=True)
class Failure:
    """A symbol that was not analysed. `transient`: the same run may succeed later."""

    kind: Kind
    reason: str
    transient: bool = False

    @property
    def text(self) -> str:
        """The reason, cut where it is very long."""
        return self.reason if len(self.reason) <= MAX_REASON else f"{self.reason[:MAX_REASON]}..."


def training_advice(model_types: tuple[str, ...], symbol: str, timeframe: str) -> str:
    """Return which run would train the missing or old networks."""
    place = f'"symbol": "{symbol}", "timeframe": "{timeframe}"'
    if len(model_types) == 1:
        return f'run train_model with {{"model_type": "{model_types[0]}", {place}}}'
    if timeframe == "1h":
        return f'run adaptive_retrain with {{"symbol": "{symbol}"}}'
    return f'run train_model with {{"model_type": ..., {place}}} for {", ".join(model_types)}'
