"""Parameters of `ingest_candles`."""

from __future__ import annotations

from pydantic import Field, field_validator

from include.tasks_api.params.base import RULE, RunParams
from include.tasks_api.params.fields import Symbol, Timeframe


class IngestCandlesParams(RunParams):
    """Which candles to have complete."""

    symbols: tuple[Symbol, ...] = Field(
        (),
        max_length=50,
        title="Symbols",
        description="Trading pairs, at most 50; empty for the configured ones.",
        json_schema_extra={RULE: "symbols must be a list of at most 50 Binance pairs such as BTCUSDT"},
    )
    timeframe: Timeframe = Field(
        "1h",
        title="Timeframe",
        description="Length of a candle.",
        json_schema_extra={RULE: "timeframe must be one of: 5m, 15m, 1h, 4h"},
    )
    days: int = Field(
        80,
        ge=1,
        le=730,
        title="Days",
        description="How many days back from now; 80 cover a retraining on 60 days and its warm-up.",
        json_schema_extra={RULE: "days must be between 1 and 730"},
    )

    @field_validator("symbols")
    @classmethod
    def _once_each(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value))
