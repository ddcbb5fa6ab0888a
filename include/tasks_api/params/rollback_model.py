"""Parameters of `rollback_model`."""

from __future__ import annotations

from pydantic import Field, field_validator

from include.tasks_api.params.base import RULE, RunParams
from include.tasks_api.params.fields import AnyCaseModelType, Symbol, Timeframe


class RollbackModelParams(RunParams):
    """One step back to the champion before the present one."""

    model_type: AnyCaseModelType = Field(
        "lstm",
        title="Network",
        description="Whose champion to take back.",
        json_schema_extra={RULE: "model_type must be one of: lstm, gru, transformer"},
    )
    symbol: Symbol = Field(
        "BTCUSDT",
        title="Symbol",
        description="The trading pair of the champion.",
        json_schema_extra={RULE: "Invalid trading symbol: use a Binance pair such as BTCUSDT"},
    )
    timeframe: Timeframe = Field(
        "1h",
        title="Timeframe",
        description="Length of a candle of the champion.",
        json_schema_extra={RULE: "timeframe must be one of: 5m, 15m, 1h, 4h"},
    )
    reason: str = Field(
        "",
        max_length=1000,
        validate_default=True,
        title="Reason",
        description="Why; it is kept with the deployments, beside your name. Required.",
        json_schema_extra={RULE: "reason is required: say in 1 to 1000 characters why the champion is taken back"},
    )
    skip_unreadable: bool = Field(
        False,
        title="Go further back if need be",
        description="When the previous model cannot be opened either, take the one before it, and so on.",
        json_schema_extra={RULE: "skip_unreadable must be true or false"},
    )

    @field_validator("reason")
    @classmethod
    def _not_empty(cls, value: str) -> str:
        # No minLength in the schema: Airflow would refuse the DAG for its own default.
        if not value:
            raise ValueError("empty")
        return value
