"""Parameters of `rollback_model`."""

from __future__ import annotations

from pydantic import Field

from include.tasks_api.params.base import RULE, RunParams
from include.tasks_api.params.fields import AnyCaseModelType, Reason, Symbol, Timeframe, reason_field


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
    reason: Reason = reason_field(
        "Why; it is kept with the deployments, beside your name. Required.", "why the champion is taken back"
    )
    skip_unreadable: bool = Field(
        False,
        title="Go further back if need be",
        description="When the previous model cannot be opened either, take the one before it, and so on.",
        json_schema_extra={RULE: "skip_unreadable must be true or false"},
    )
