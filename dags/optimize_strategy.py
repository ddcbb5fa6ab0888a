"""# Optimise strategy

Tries combinations of a strategy's parameters, and says how far the best of them can be believed: `robust`, `weak` or
`overfit`.

- **When:** on demand.
- **Search:** `grid` (an even sample where there are more combinations than variations), `genetic`, or `model`-based; 10
  to 500 distinct combinations, those that contradict themselves (fast above slow) left out.
- **Candles, fills and costs** are those of `backtest_strategy`.
- **In sample and out of sample:** the combination is chosen on the first part of the days and tried on the last, with
  an embargo in between; a walk-forward repeats search and trial in windows, whose trials are stitched together.
- **Doubt:** probability of backtest overfitting (CSCV), deflated Sharpe ratio with the number of trials, walk-forward
  efficiency, stability of the parameters. The verdict names its reasons.
- **Progress:** percent and the best so far in the task state store of `optimize`, at least every 10 %.
- **Killed?** A killed or restarted run continues with the variations that are not finished.
- **Result:** the document in `optimization_results` (all results, ranked by Sharpe ratio), the XCom of `optimize` (the
  best ten). The task's page links to the heatmap, the out-of-sample equity and a table of all variations.
- **Fails** without retries on wrong parameters, an unknown symbol, a period that is not over or too short for the
  windows, an empty search space.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from dags.wiring.defaults import dag_defaults
from dags.wiring.params import dag_params, run_params
from dags.wiring.strategy_operators import OptimisationOperator
from include.tasks_api.params.optimize_strategy import OptimizeStrategyParams


@dag(
    dag_id="optimize_strategy",
    description="Searches a strategy's parameters, and says how far the best can be believed.",
    schedule=None,
    params=dag_params(OptimizeStrategyParams),
    tags=["strategies", "on-demand"],
    max_active_runs=2,
    dagrun_timeout=timedelta(hours=12),
    doc_md=__doc__,
    **dag_defaults("optimization", "Trader", "MLAdmin"),
)
def optimize_strategy() -> None:
    """Wire the DAG."""

    @task(multiple_outputs=False)
    def admit(**context: Any) -> dict[str, Any]:
        """Check params, symbol, days and whether they suffice for the windows, before anything is fetched."""
        from dags.wiring.strategy_lab import admit as require
        from include.tasks_api.strategy_request import optimisation_demand

        return require(optimisation_demand(run_params(OptimizeStrategyParams, context)))

    @task(multiple_outputs=False, execution_timeout=timedelta(minutes=30))
    def load_candles(**context: Any) -> dict[str, Any]:
        """Fetch what the store lacks of the period and of the bars before it; report the gaps."""
        from dags.wiring.strategy_lab import load_candles as load
        from include.tasks_api.strategy_request import optimisation_demand

        return load(optimisation_demand(run_params(OptimizeStrategyParams, context)))

    optimize = OptimisationOperator(
        task_id="optimize",
        execution_timeout=timedelta(hours=2),
        doc_md="Searches, walks forward, judges and draws; keeps the result and its pages.",
    )
    admit() >> load_candles() >> optimize


optimize_strategy()
