"""# Backtest strategy

Plays one strategy on the candles of some days, as an exchange would have filled it, and says what it would have
earned, how much of that is luck, and whether it knew what it could not have known.

- **When:** on demand. `start_date` is the first day, `end_date` the first day after the period.
- **Candles** come from MongoDB; what is missing is fetched from Binance first. What Binance itself does not have stays
  a gap: it is reported, and nothing is traded in it.
- **Fills:** a decision at a bar's close is carried out at the next open, or `latency_bars` later, with fee, half the
  spread, slippage that grows with volatility, funding of shorts; never in a bar without volume.
- **Figures:** those of the specification, and Sortino, Calmar, exposure, time under water, longest losing run, costs,
  buy-and-hold of the same days, a table by month. What has no value is null, with a reason.
- **Doubt:** the trades drawn again in other orders (5 to 95 % of return and drawdown), and every decision made again
  on data that ends earlier: a strategy that looks ahead fails, with the bar.
- **Progress:** percent in the task state store of `backtest`, at least every 10 %.
- **Result:** the document in `backtest_results`, the XCom of `backtest` (without equity curve and trades). The task's
  page links to the interactive report and to the trades as a table.
- **Fails** without retries on wrong parameters, an unknown symbol, a period that is not over or has fewer candles than
  the longest indicator needs.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from dags.wiring.defaults import dag_defaults
from dags.wiring.params import dag_params, run_params
from dags.wiring.strategy_operators import BacktestOperator
from include.tasks_api.params.backtest_strategy import BacktestStrategyParams


@dag(
    dag_id="backtest_strategy",
    description="Plays a strategy on past candles, with the costs of a real exchange.",
    schedule=None,
    params=dag_params(BacktestStrategyParams),
    tags=["strategies", "on-demand"],
    max_active_runs=4,
    dagrun_timeout=timedelta(hours=6),
    doc_md=__doc__,
    **dag_defaults("backtesting", "Trader", "MLAdmin"),
)
def backtest_strategy() -> None:
    """Wire the DAG."""

    @task(multiple_outputs=False)
    def admit(**context: Any) -> dict[str, Any]:
        """Check params, symbol, days and the number of candles, before anything is fetched."""
        from dags.wiring.strategy_lab import admit as require
        from include.tasks_api.strategy_request import backtest_demand

        return require(backtest_demand(run_params(BacktestStrategyParams, context)))

    @task(multiple_outputs=False, execution_timeout=timedelta(minutes=30))
    def load_candles(**context: Any) -> dict[str, Any]:
        """Fetch what the store lacks of the period and of the bars before it; report the gaps."""
        from dags.wiring.strategy_lab import load_candles as load
        from include.tasks_api.strategy_request import backtest_demand

        return load(backtest_demand(run_params(BacktestStrategyParams, context)))

    backtest = BacktestOperator(
        task_id="backtest",
        execution_timeout=timedelta(hours=1),
        doc_md="Plays the strategy, measures, checks and draws; keeps the result and its pages.",
    )
    admit() >> load_candles() >> backtest


backtest_strategy()
