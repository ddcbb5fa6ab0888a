"""Parameters of `train_model`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from include.tasks_api.params.base import RULE, RunParams
from include.tasks_api.params.fields import AnyCaseModelType, Symbol, Timeframe

BATCH_SIZES = (32, 64, 128, 256, 512, 1024)


class TrainModelParams(RunParams):
    """One training of one network on one symbol."""

    model_type: AnyCaseModelType = Field(
        "lstm",
        title="Network",
        description="Which network to train.",
        json_schema_extra={RULE: "model_type must be one of: lstm, gru, transformer"},
    )
    symbol: Symbol = Field(
        "BTCUSDT",
        title="Symbol",
        description="A Binance trading pair, for instance BTCUSDT.",
        json_schema_extra={RULE: "Invalid trading symbol: use a Binance pair such as BTCUSDT"},
    )
    timeframe: Timeframe = Field(
        "1h",
        title="Timeframe",
        description="Length of a candle.",
        json_schema_extra={RULE: "timeframe must be one of: 5m, 15m, 1h, 4h"},
    )
    days_of_data: int = Field(
        30,
        ge=7,
        le=365,
        title="Days of data",
        description="How many days of candles to learn from and to be measured on.",
        json_schema_extra={RULE: "days_of_data must be >= 7 and <= 365"},
    )
    epochs: int = Field(
        100,
        ge=1,
        le=1000,
        title="Epochs",
        description="Passes over the training part; the best one's weights are kept.",
        json_schema_extra={RULE: "epochs must be between 1-1000"},
    )
    batch_size: int = Field(
        64,
        title="Batch size",
        description="Samples per step, a power of two.",
        json_schema_extra={
            RULE: "batch_size must be power of 2 (32, 64, 128, 256, 512, 1024)",
            "enum": list(BATCH_SIZES),
        },
    )
    learning_rate: float = Field(
        0.001,
        gt=0,
        le=1,
        title="Learning rate",
        description="Step size of the Adam optimiser.",
        json_schema_extra={RULE: "learning_rate must be > 0 and <= 1"},
    )
    validation_split: float = Field(
        0.2,
        gt=0,
        lt=0.5,
        title="Hold-out share",
        description="The last part of the data, never trained on, that the result is measured on.",
        json_schema_extra={RULE: "validation_split must be between 0.0 and 0.5"},
    )
    target: Literal["trend", "return"] = Field(
        "trend",
        title="What to learn",
        description="The sign of the change over 8 bars: of the EMA12 (trend) or of the close (return).",
        json_schema_extra={RULE: "target must be one of: trend, return"},
    )
    seed: int = Field(
        7,
        ge=0,
        le=2**31 - 1,
        title="Seed",
        description="Same seed, data and versions: same model.",
        json_schema_extra={RULE: "seed must be between 0 and 2147483647"},
    )
    deploy: bool = Field(
        True,
        title="Deploy when better",
        description="Compare with the champion on the same bars and deploy if the rule allows it.",
        json_schema_extra={RULE: "deploy must be true or false"},
    )

    @field_validator("batch_size")
    @classmethod
    def _power_of_two(cls, value: int) -> int:
        if value not in BATCH_SIZES:
            raise ValueError("not an allowed power of two")
        return value
