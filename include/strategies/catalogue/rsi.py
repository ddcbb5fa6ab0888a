"""RSI: buys what has fallen too fast, sells what has risen too fast, and leaves at the middle."""

from __future__ import annotations

from pydantic import AliasChoices

from include.market.candles import Candles
from include.market.indicators import rsi
from include.strategies.definition import Indicator, Positions, StrategyDefinition, StrategyParams, searched
from include.strategies.holding import hold


class RsiParams(StrategyParams):
    """Wilder's RSI over `rsi_period` bars, and the levels that count as extreme."""

    rsi_period: int = searched(
        14, 10, 20, 1, ge=2, le=200, validation_alias=AliasChoices("rsi_period", "period"), description="bars"
    )
    rsi_overbought: float = searched(
        70, 65, 85, 5, gt=50, lt=100, validation_alias=AliasChoices("rsi_overbought", "overbought")
    )
    rsi_oversold: float = searched(
        30, 15, 35, 5, gt=0, lt=50, validation_alias=AliasChoices("rsi_oversold", "oversold")
    )


class Rsi(StrategyDefinition[RsiParams]):
    """Mean reversion."""

    title = "RSI"
    rule = (
        "long when the RSI is at or below rsi_oversold, until it is back at the middle of the two levels; "
        "short when it is at or above rsi_overbought, likewise"
    )
    params_model = RsiParams

    def lookback(self, params: RsiParams) -> int:
        return params.rsi_period + 1

    def positions(self, candles: Candles, params: RsiParams) -> Positions:
        level = rsi(candles.close, params.rsi_period)
        middle = (params.rsi_overbought + params.rsi_oversold) / 2
        return hold(level <= params.rsi_oversold, level >= middle, level >= params.rsi_overbought, level <= middle)

    def indicators(self, candles: Candles, params: RsiParams) -> list[Indicator]:
        return [Indicator(f"RSI({params.rsi_period})", rsi(candles.close, params.rsi_period), overlay=False)]


STRATEGY = Rsi()
