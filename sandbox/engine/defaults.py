"""The settings with which the engine starts."""

from __future__ import annotations

from typing import Any

STRATEGY_SETTINGS: dict[str, Any] = {
    "strategies": {
        "rsi": {
            "enabled": True,
            "period": 14,
            "oversold_threshold": 30.0,
            "overbought_threshold": 70.0,
            "extreme_oversold": 20.0,
            "extreme_overbought": 80.0,
        },
        "macd": {
            "enabled": True,
            "fast_period": 12,
            "slow_period": 26,
            "signal_period": 9,
            "histogram_threshold": 0.001,
        },
        "volume": {"enabled": True, "sma_period": 20, "spike_threshold": 2.0, "correlation_period": 10},
        "bollinger": {"enabled": True, "period": 20, "multiplier": 2.0, "squeeze_threshold": 0.02},
        "stochastic": {
            "enabled": True,
            "k_period": 14,
            "d_period": 3,
            "oversold_threshold": 20.0,
            "overbought_threshold": 80.0,
            "extreme_oversold": 10.0,
            "extreme_overbought": 90.0,
        },
    },
    "risk": {
        "max_risk_per_trade": 1.0,
        "max_portfolio_risk": 10.0,
        "stop_loss_percent": 5.0,
        "take_profit_percent": 10.0,
        "max_leverage": 5,
        "max_drawdown": 10.0,
        "daily_loss_limit": 3.0,
        "max_consecutive_losses": 3,
        "correlation_limit": 0.7,
    },
    "engine": {
        "min_confidence_threshold": 0.7,
        "signal_combination_mode": "WeightedAverage",
        "enabled_strategies": [
            "RSI Strategy", "MACD Strategy", "Volume Strategy", "Bollinger Bands Strategy", "Stochastic Strategy",
        ],
        "market_condition": "Trending",
        "risk_level": "Moderate",
        "data_resolution": "15m",
    },
    "market_preset": "normal_volatility",
}  # fmt: skip

INDICATOR_SETTINGS: dict[str, Any] = {
    "indicators": {
        "rsi_period": 14,
        "macd_fast": 12,
        "macd_slow": 26,
        "macd_signal": 9,
        "ema_periods": [9, 21, 50],
        "bollinger_period": 20,
        "bollinger_std": 2.0,
        "volume_sma_period": 20,
        "stochastic_k_period": 14,
        "stochastic_d_period": 3,
    },
    "signal": {
        "trend_threshold_percent": 0.8,
        "min_required_timeframes": 3,
        "min_required_indicators": 3,
        "confidence_base": 0.5,
        "confidence_per_timeframe": 0.08,
    },
    "signal_pipeline": {
        "min_weighted_threshold": 50.0,
        "weight_15m": 0.5,
        "weight_30m": 1.0,
        "weight_1h": 2.0,
        "rsi_bull_threshold": 55.0,
        "rsi_bear_threshold": 45.0,
        "bb_bull_threshold": 0.3,
        "bb_bear_threshold": 0.7,
        "stoch_overbought": 80.0,
        "stoch_oversold": 20.0,
        "volume_confirm_multiplier": 1.2,
        "confidence_max": 0.85,
        "confidence_multiplier": 0.35,
        "counter_trend_confidence_max": 0.65,
        "counter_trend_multiplier": 0.2,
        "neutral_confidence": 0.4,
        "counter_trend_block_offset": 0.05,
        "counter_trend_enabled": True,
        "counter_trend_mode": "reduce",
        "analysis_timeframes": ["15m", "30m", "1h"],
    },
}

# The groups are the engine's; of their fields only the levers and a few more are kept here.
BASIC_SETTINGS: dict[str, Any] = {
    "basic": {"initial_balance": 10_000.0, "enabled": True, "trading_fee_rate": 0.0004, "funding_fee_rate": 0.0001},
    "risk": {"max_risk_per_trade_pct": 1.0, "max_drawdown_pct": 10.0, "daily_loss_limit_pct": 3.0},
    "atr_sizing": {"atr_stop_enabled": False, "atr_period": 14},
    "signal": {"long_only_mode": False, "short_only_mode": False, "min_ai_confidence": 0.7},
    "strategy": {"enabled_strategies": {"ai_ensemble": 1.0}},
}
