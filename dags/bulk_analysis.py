"""# Bulk analysis

Asks the deployed models about many symbols at once: a signal with its confidence, the price in 8 bars, RSI, MACD and
trend for each, the most confident first.

- **When:** on demand.
- **Signal:** BUY when the probability of a rising trend is at least 0.55, SELL when it is at most 0.45, else HOLD;
  the confidence is that of the likelier direction. `ensemble` is the mean of the deployed networks. Where a model
  has shown no edge over its baseline on its hold-out, the result says *no edge shown*.
- **Data:** the newest closed candles, fetched where the store lacks them; the exchange's last price (the newest close
  while Binance is away).
- **Cache:** an answer is given again for 5 minutes (`TRADING_OPS_ANALYSIS_CACHE_TTL_S`) while the same models are
  deployed; it then says `cached` and how old it is.
- **Progress:** percent and counts in the task state store of `analyse`, at least every 10 %.
- **Result:** the document in `bulk_analyses`, the XCom of `analyse`. A symbol without data, or without a usable
  model, is named in `failed_symbols`, with the reason and the remedy in `failures`.
- **Fails** on wrong parameters, and, after the result is stored, when every symbol failed.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from dags.wiring.bulk_analysis import analyse_symbols
from dags.wiring.defaults import dag_defaults
from dags.wiring.params import dag_params, run_params
from include.tasks_api.params.bulk_analysis import BulkAnalysisParams

ANALYSIS_TIMEOUT = timedelta(minutes=30)
"""5,000 symbols without a candle in the store take some 4 minutes of Binance's request weight alone."""


@dag(
    dag_id="bulk_analysis",
    description="Asks the deployed models about many symbols at once.",
    schedule=None,
    params=dag_params(BulkAnalysisParams),
    tags=["ml", "on-demand"],
    max_active_runs=4,
    dagrun_timeout=timedelta(hours=2),
    doc_md=__doc__,
    **dag_defaults("bulk_analysis", "Trader", "MLAdmin"),
)
def bulk_analysis() -> None:
    """Wire the DAG."""

    @task(multiple_outputs=False)
    def admit(**context: Any) -> dict[str, int]:
        """Check the params; say how many symbols will be asked about, and how many entries can be none."""
        params = run_params(BulkAnalysisParams, context)
        return {"symbols": len(params.wanted), "malformed": len(params.malformed)}

    @task(multiple_outputs=False, execution_timeout=ANALYSIS_TIMEOUT)
    def analyse(**context: Any) -> dict[str, Any]:
        """Forecast every symbol with its deployed models, rank them, and store the result."""
        return analyse_symbols(run_params(BulkAnalysisParams, context), context)

    admit() >> analyse()


bulk_analysis()
