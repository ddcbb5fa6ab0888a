"""What is asked, and which champions may answer it, in which order."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from include.ml.champion_health import ChampionFailure
from include.ml.config import MODEL_TYPES

if TYPE_CHECKING:
    from include.ml.light.champions import LightChampion, Place

BEST = "best"
"""Asked for instead of a model type: the champion with the highest hold-out skill."""
TIMEFRAME = "1h"
"""The champions that forecast hours are those of hourly candles."""


@dataclass(frozen=True)
class Question:
    """The price of `symbol` over the next `hours` (1 to 48), by one type of model or by the best one."""

    symbol: str
    model_type: str
    hours: int

    @property
    def places(self) -> list[Place]:
        """The champions' places that may answer."""
        types = MODEL_TYPES if self.model_type == BEST else (self.model_type,)
        return [(model_type, self.symbol, TIMEFRAME) for model_type in types]

    @property
    def advice(self) -> str:
        """How to train a model that can answer."""
        model_type = MODEL_TYPES[0] if self.model_type == BEST else self.model_type
        return training_advice(model_type, self.symbol)


@dataclass
class Seen:
    """How the champions did that were asked: for `include.ml.champion_health.note_outcomes`."""

    failures: list[ChampionFailure] = field(default_factory=list)
    well: list[str] = field(default_factory=list)

    def failed(self, model_id: str, place: Place, reason: str) -> None:
        """Note a champion that could not be loaded, or whose forecast is no price."""
        self.failures.append(ChampionFailure(model_id, *place, reason))


def training_advice(model_type: str, symbol: str) -> str:
    """Return the DAG and the params that train such a model."""
    params = f'{{"model_type": "{model_type}", "symbol": "{symbol}", "timeframe": "{TIMEFRAME}"}}'
    return f"train it: run the DAG train_model with {params}"


def by_skill(champions: Iterable[LightChampion]) -> list[LightChampion]:
    """Return the champions in the order in which they are asked: highest hold-out skill first, unknown last."""

    def skill(champion: LightChampion) -> float:
        value = champion.record.evaluation.get("skill")
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else -math.inf

    return sorted(champions, key=skill, reverse=True)
