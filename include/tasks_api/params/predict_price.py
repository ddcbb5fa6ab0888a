"""Parameters of `predict_price`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from include.tasks_api.params.base import RULE, RunParams
from include.tasks_api.params.fields import Symbol, lower


class PredictPriceParams(RunParams):
    """One look ahead for one symbol."""

    symbol: Symbol = Field(
        "BTCUSDT",
        title="Symbol",
        description="A Binance trading pair, for instance BTCUSDT.",
        json_schema_extra={RULE: "Invalid trading symbol: use a Binance pair such as BTCUSDT"},
    )
    model_type: Annotated[Literal["best", "lstm", "gru", "transformer"], BeforeValidator(lower)] = Field(
        "best",
        title="Network",
        description="Whose deployed model answers; best: the one with the highest skill on its hold-out.",
        json_schema_extra={RULE: "model_type must be one of: best, lstm, gru, transformer"},
    )
    horizon_hours: int = Field(
        24,
        ge=1,
        le=48,
        title="Hours",
        description="How many hours ahead, one price each.",
        json_schema_extra={RULE: "horizon_hours must be between 1 and 48"},
    )
