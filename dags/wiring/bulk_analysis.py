"""The step of `bulk_analysis` that does the work: analyse, keep the result, note how the champions did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from include.tasks_api.params.bulk_analysis import BulkAnalysisParams

PROGRESS_KEY = "progress"
"""Key in the task state store: percent and counts; readable over REST while the task runs."""


def analyse_symbols(params: BulkAnalysisParams, context: Mapping[str, Any]) -> dict[str, Any]:
    """Analyse the run's symbols and store its result; return it as it is handed on.

    A retry finds the answers of the last minutes in the cache and overwrites the run's document.

    :raises include.errors.BadInputError: after storing, when every symbol failed for reasons that stay.
    :raises include.errors.TransientError: after storing, when every symbol failed and a later try may help.
    """
    from datetime import UTC, datetime

    from dags.wiring.champion_watch import note
    from dags.wiring.runtime import binance, database, model_files, model_weights
    from dags.wiring.storage import keep
    from include.market.candle_store import CandleStore
    from include.ml.bulk.analysis import Terms
    from include.ml.bulk.choice import asked_types
    from include.ml.bulk.exchange import Exchange
    from include.ml.bulk.failure import Failure
    from include.ml.bulk.result import handed_on, require_any, result_of
    from include.ml.bulk.run import Bench, run_analysis
    from include.ml.prediction.question import Seen
    from include.settings import get_settings
    from include.store.collections import BULK_ANALYSES
    from include.store.result_cache import result_cache

    ti, settings, db = context["ti"], get_settings(), database()
    progress_store = context["task_state_store"]

    def on_progress(percent: int, details: Mapping[str, Any]) -> None:
        progress_store.set(PROGRESS_KEY, {"percent": percent, **details})

    candles = CandleStore(db)
    with binance() as client:
        exchange = Exchange(
            client,
            candles,
            concurrency=settings.binance_concurrency,
            weight_per_minute=settings.binance_weight_per_minute,
        )
        terms = Terms(
            params.timeframe,
            asked_types(params.model_type),
            exchange.now_ms,
            settings.max_candle_age_bars,
            settings.max_model_age_days,
            settings.drift_psi_warning,
        )
        bench = Bench(
            db,
            model_weights(db),
            model_files(db),
            candles,
            exchange,
            result_cache(db, settings),
            settings.analysis_cache_ttl_s,
        )
        found = run_analysis(params.wanted, terms, bench, on_progress)
    failures = {symbol: Failure("malformed", reason) for symbol, reason in params.malformed.items()} | found.failures
    ordered = {symbol: failures[symbol] for symbol in params.symbols if symbol in failures}
    document = result_of(ti.run_id, datetime.now(UTC), found.answers, ordered, params.terms(), exchange.describe())
    faults = [fault for symbol in sorted(found.faults) for fault in found.faults[symbol]]
    shown = ("champion_id", "from_model_id", "to_model_id", "done", "reason", "why_not")
    document["rollbacks"] = [
        {name: getattr(rollback, name) for name in shown}
        for rollback in note(db, Seen(faults, sorted(found.well)), context)
    ]
    keep(context, BULK_ANALYSES, document)
    require_any(ordered, found.answers)
    return handed_on(document)
