"""# Score champions

Scores every deployed model on the bars since the end of its training: accuracy, baseline and skill, which is the
accuracy history that the GPT-4 analysis and the drift reports read.

- **When:** 00:30 UTC, or on demand.
- **Result:** one document per champion and day in `model_scores`.
- **Fails** when a champion cannot be read (corrupt file, wrong key) or its candles are missing; the others are
  scored all the same.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from dags.wiring.defaults import dag_defaults
from dags.wiring.params import dag_params, run_params
from include.tasks_api.params.reports import ScoreChampionsParams


@dag(
    dag_id="score_champions",
    description="Scores every deployed model on the bars since its training.",
    schedule="30 0 * * *",
    params=dag_params(ScoreChampionsParams),
    tags=["ml", "monitoring", "scheduled"],
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=1),
    doc_md=__doc__,
    **dag_defaults("scheduled", "MLAdmin"),
)
def score_champions() -> None:
    """Wire the DAG."""

    @task
    def refresh_candles(**context: Any) -> list[str]:
        """Complete the candles of every champion up to the newest closed bar."""
        from dags.wiring.runtime import database
        from dags.wiring.training import refresh
        from include.ml.champions import ChampionPointers

        run_params(ScoreChampionsParams, context)
        champions = [pointer.champion_id.split(":") for pointer in ChampionPointers(database()).all()]
        series = sorted({(symbol, timeframe) for _, symbol, timeframe in champions})
        for symbol, timeframe in series:
            refresh(symbol, timeframe, days=90)
        return [f"{symbol}:{timeframe}" for symbol, timeframe in series]

    @task(multiple_outputs=False)
    def score() -> list[dict[str, Any]]:
        """Score and store."""
        from datetime import UTC, datetime

        from dags.wiring.runtime import database, model_files
        from include.market.candle_store import CandleStore
        from include.ml.scores import score_champions as score_all

        db = database()
        return score_all(db, model_files(db), CandleStore(db), datetime.now(UTC))

    refresh_candles() >> score()


score_champions()
