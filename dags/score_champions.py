"""# Score champions

Scores every deployed model on the bars since the end of its training: accuracy, baseline and skill, which is the
accuracy history that the GPT-4 analysis and the drift reports read.

- **When:** 00:30 UTC, or on demand.
- **Result:** one document per champion and day in `model_scores`.
- **Fails** when a champion cannot be read (corrupt file, wrong key) or its candles are missing; the others are
  scored all the same. A champion that is broken counts one failure; after three in a row, those of `predict_price`
  and `bulk_analysis` included, it is rolled back, with a CRITICAL message.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from dags.wiring.defaults import dag_defaults
from dags.wiring.params import dag_params, run_params
from include.tasks_api.params.reports import ScoreChampionsParams

SCORED_DAYS = 90
"""How far back candles are completed; champions are scored on the bars since their training."""


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
    def refresh_candles(**context: Any) -> int:
        """Complete the candles of every champion; return the exchange's time up to which bars are scored."""
        from dags.wiring.runtime import binance, database
        from dags.wiring.training import refresh
        from include.ml.champions import ChampionPointers

        run_params(ScoreChampionsParams, context)
        champions = [pointer.champion_id.split(":") for pointer in ChampionPointers(database()).all()]
        with binance() as client:
            until_ms = client.server_time_ms()
        for symbol, timeframe in sorted({(symbol, timeframe) for _, symbol, timeframe in champions}):
            refresh(symbol, timeframe, days=SCORED_DAYS)
        return until_ms

    @task(multiple_outputs=False)
    def score(until_ms: int, **context: Any) -> list[dict[str, Any]]:
        """Score every champion and store the scores; count those that could not be read, and fail afterwards."""
        from datetime import UTC, datetime

        from dags.wiring.champion_watch import note
        from dags.wiring.runtime import database, model_files, promotions
        from include.errors import IntegrityError
        from include.market.candle_store import CandleStore
        from include.ml.prediction.question import Seen
        from include.ml.scores import score_champions as score_all

        db = database()
        check = promotions(db).require_readable
        scores = score_all(db, model_files(db), CandleStore(db), datetime.now(UTC), until_ms, check)
        seen = Seen()
        for score in scores:
            if score["champion_at_fault"]:
                place = (score["model_type"], score["symbol"], score["timeframe"])
                seen.failed(score["model_id"], place, score["reason"])
            elif not score["unreadable"]:
                seen.well.append(score["model_id"])
        note(db, seen, context)
        unreadable = [f"{score['model_id']}: {score['reason']}" for score in scores if score["unreadable"]]
        if unreadable:
            raise IntegrityError(f"champions that cannot be read: {'; '.join(unreadable)}; retrain or roll back")
        return [
            {name: score[name] for name in ("model_id", "bars", "accuracy", "baseline_accuracy", "skill", "reason")}
            for score in scores
        ]

    @task
    def remove_orphaned_files() -> list[str]:
        """Remove what killed trainings left behind: files and weights of no model (checkpoints: see `retention`)."""
        from datetime import UTC, datetime

        from dags.wiring.runtime import database, model_files, model_weights
        from include.ml.model_sweep import sweep_model_files, sweep_model_weights
        from include.ml.registry import ModelRegistry

        db, now = database(), datetime.now(UTC)
        removed = sweep_model_files(ModelRegistry(db), model_files(db), now)
        removed += sweep_model_weights(ModelRegistry(db), model_weights(db), now)
        return sorted({*removed})

    score(refresh_candles()) >> remove_orphaned_files()


score_champions()
