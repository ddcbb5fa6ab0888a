"""Parameters of `backtest_strategy`."""

from __future__ import annotations

from typing import Any

from pydantic import Field, ValidationInfo, field_validator

from include.errors import BadInputError
from include.strategies.registry import parse_strategy_params
from include.tasks_api.params.strategy_lab import WHAT, StrategyLabParams, form

MAX_SHOWN = 1_000
"""Characters of what is said about the strategy's parameters."""


class BacktestStrategyParams(StrategyLabParams):
    """One test of one strategy with one set of parameters."""

    parameters: dict[str, Any] = Field(
        default_factory=dict,
        title="Parameters of the strategy",
        description='For instance {"rsi_period": 14, "rsi_oversold": 30}; what is left out has its default.',
        json_schema_extra=form(WHAT, 'parameters must be an object such as {"rsi_period": 14}'),
    )

    @field_validator("parameters")
    @classmethod
    def _known_and_within_bounds(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        if (strategy := info.data.get("strategy_name")) is not None:
            try:
                parse_strategy_params(strategy, value)
            except BadInputError as error:
                raise BadInputError(f"parameters: {error!s:.{MAX_SHOWN}}") from error
        return value
