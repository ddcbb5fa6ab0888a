"""# Ingest candles

Keeps the candle store complete: for each symbol it asks Binance for what is missing of the last days and
stores it. Running it again fetches only the bars closed since; unfinished candles are never stored.

- **When:** every hour at minute 2 for the configured symbols, or on demand for any.
- **Result:** one report per symbol: requested, present, fetched, inserted, corrected, gaps.
- **Fails** when a symbol is unknown to Binance, or Binance or MongoDB stay away after three retries. One
  symbol's failure does not stop the others.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from dags.wiring.defaults import dag_defaults
from dags.wiring.params import dag_params, run_params
from include.tasks_api.params.ingest_candles import IngestCandlesParams


@dag(
    dag_id="ingest_candles",
    description="Completes the stored candles from Binance.",
    schedule="2 * * * *",
    params=dag_params(IngestCandlesParams),
    tags=["market-data", "scheduled", "on-demand"],
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=50),
    doc_md=__doc__,
    **dag_defaults("scheduled", "MLAdmin", "Trader"),
)
def ingest_candles() -> None:
    """Wire the DAG."""

    @task
    def choose_symbols(**context: Any) -> list[str]:
        """Check the params; without symbols take the configured ones."""
        from include.settings import get_settings

        return list(run_params(IngestCandlesParams, context).symbols or get_settings().symbols)

    @task(map_index_template="{{ task.op_kwargs['symbol'] }}", max_active_tis_per_dagrun=2, multiple_outputs=False)
    def ingest(symbol: str, **context: Any) -> dict[str, Any]:
        """Fetch what is missing of one symbol."""
        from dags.wiring.runtime import binance, database
        from include.market.candle_store import CandleStore
        from include.market.ingest import ingest as complete

        params = run_params(IngestCandlesParams, context)
        with binance() as client:
            return complete(client, CandleStore(database()), symbol, params.timeframe, params.days).to_dict()

    ingest.expand(symbol=choose_symbols())


ingest_candles()
