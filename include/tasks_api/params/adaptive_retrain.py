"""Parameters of `adaptive_retrain`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from include.tasks_api.params.base import RULE, RunParams
from include.tasks_api.params.fields import MODEL_TYPES, AnyCaseModelType, Symbol


class AdaptiveRetrainParams(RunParams):
    """One retraining of up to three networks on one symbol."""

    symbol: Symbol = Field(
        "BTCUSDT",
        title="Symbol",
        description="The trading pair to retrain for.",
        json_schema_extra={RULE: "Invalid trading symbol: use a Binance pair such as BTCUSDT"},
    )
    model_types: tuple[AnyCaseModelType, ...] = Field(
        MODEL_TYPES,
        min_length=1,
        max_length=3,
        title="Networks",
        description="Which networks to retrain.",
        json_schema_extra={
            RULE: "model_types must name at least one of: lstm, gru, transformer",
            "examples": list(MODEL_TYPES),
        },
    )
    analysis_result: dict[str, Any] = Field(
        default_factory=dict,
        title="Analysis",
        description="The analysis that asked for this (recommendation, reasoning).",
        json_schema_extra={RULE: "analysis_result must be an object"},
    )
    trigger: Literal["manual", "gpt4_recommendation", "fallback", "scheduled"] = Field(
        "manual",
        title="Asked for by",
        description="Goes into the history.",
        json_schema_extra={RULE: "trigger must be one of: manual, gpt4_recommendation, fallback, scheduled"},
    )
    days_of_data: int = Field(
        60,
        ge=7,
        le=365,
        title="Days of data",
        description="How many days of candles to learn from and to be measured on.",
        json_schema_extra={RULE: "days_of_data must be >= 7 and <= 365"},
    )
    epochs: int = Field(
        30,
        ge=1,
        le=1000,
        title="Epochs",
        description="Passes over the training part; the best one's weights are kept.",
        json_schema_extra={RULE: "epochs must be between 1-1000"},
    )
    seed: int = Field(
        7,
        ge=0,
        le=2**31 - 1,
        title="Seed",
        description="Same seed, data and versions: same models.",
        json_schema_extra={RULE: "seed must be between 0 and 2147483647"},
    )

    @field_validator("model_types")
    @classmethod
    def _once_each(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value))
