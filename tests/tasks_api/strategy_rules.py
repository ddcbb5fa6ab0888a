"""What is valid for the strategy laboratory's DAGs, written by hand from the specification and the requirements."""

from __future__ import annotations

from tests.tasks_api.hostile import (
    HUGE_NUMBERS,
    INJECTIONS,
    WRONG_TYPES,
    Rule,
    flag,
    number,
    one_of,
    symbol,
    text_of,
    whole,
)

NO_DAYS = (
    "",
    "yesterday",
    "2024-02-30",
    "20240131",
    "2024-W05-3",
    "2024-1-5",
    "31.01.2024",
    "2017-07-13",
    "٢٠٢٤-٠١-٠١",
)

SHARED: dict[str, Rule] = {
    "strategy_name": text_of(("rsi", "macd", "bollinger", "volume"), any_case=True),
    "symbol": symbol(),
    "timeframe": text_of(("5m", "15m", "1h", "4h")),
    "start_date": Rule(
        one_of("2023-01-01", "2024-02-29", "2024-05-22"),
        one_of(*NO_DAYS, 20240131, True, *INJECTIONS, *WRONG_TYPES, *HUGE_NUMBERS),
    ),
    "end_date": Rule(
        one_of("2024-11-22", "2025-01-01"),
        one_of("2022-12-31", *NO_DAYS, 20240131, True, *INJECTIONS, *WRONG_TYPES, *HUGE_NUMBERS),
    ),
    "initial_cash_usdt": Rule(
        one_of(1, 500, 10_000.5, 10**9),
        one_of(0, 0.99, -1, 10**9 + 1, "10000", True, *INJECTIONS, *WRONG_TYPES, *HUGE_NUMBERS),
    ),
    "direction": text_of(("both", "long", "short")),
    "position_pct": number(1, 100, low_open=False, high_open=False),
    "leverage": number(1, 125, low_open=False, high_open=False),
    "fee_pct": number(0, 5, low_open=False, high_open=False),
    "spread_pct": number(0, 10, low_open=False, high_open=False),
    "slippage_pct": number(0, 10, low_open=False, high_open=False),
    "slippage_atr_pct": number(0, 100, low_open=False, high_open=False),
    "latency_bars": whole(1, 100),
    "short_funding_pct_per_8h": Rule(
        one_of(-5, -0.01, 0, 0.01, 5.0), one_of(-5.001, 5.001, "0", True, *INJECTIONS, *WRONG_TYPES, *HUGE_NUMBERS)
    ),
    "seed": whole(0, 2**31 - 1),
}
REQUIRED = ("start_date", "end_date")
BACKTEST_STRATEGY: dict[str, Rule] = {
    **SHARED,
    # Names and bounds depend on the strategy: `tests/tasks_api/test_strategy_lab_params.py`.
    "parameters": Rule(
        one_of({}),
        one_of(
            *({"no_such": 1}, {"rsi_period": "14"}, {"": None}, {"__class__": 1}, {"x" * 5000: {"y": [1]}}),
            *({f"p{n}": n for n in range(500)}, "{}", 5, True, None, [], [[]], "\ud800"),
        ),
    ),
}
OPTIMIZE_STRATEGY: dict[str, Rule] = {
    **SHARED,
    "parameter_variations": whole(10, 500),
    "method": text_of(("grid", "genetic", "model")),
    "objective": text_of(("sharpe_ratio", "sortino_ratio", "calmar_ratio", "total_return", "profit_factor")),
    "windows": whole(2, 24),
    "anchored": flag(),
    "train_share": number(0.5, 0.9, low_open=False, high_open=False),
    "embargo_days": whole(0, 90),
}
