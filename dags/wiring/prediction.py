"""The step of `predict_price` between Airflow and the models' room."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dags.wiring.champion_watch import champion_watch
from dags.wiring.params import run_params
from include.tasks_api.params.predict_price import PredictPriceParams

Context = Mapping[str, Any]


def predict(context: Context) -> dict[str, Any]:
    """Return the answer of a run's question and store it; note how the champions did, also when none answered."""
    from datetime import datetime

    from dags.wiring.runtime import binance, database, model_files, model_weights
    from dags.wiring.storage import keep
    from include.market.candle_store import CandleStore
    from include.ml.prediction.market import Market, newest_market
    from include.ml.prediction.predict import Predictor
    from include.ml.prediction.question import Question, Seen
    from include.settings import get_settings
    from include.store.collections import PRICE_PREDICTIONS
    from include.store.result_cache import result_cache

    params, settings = run_params(PredictPriceParams, context), get_settings()
    db = database()

    def market(symbol: str) -> Market:
        with binance() as client:
            return newest_market(client, CandleStore(db), symbol)

    predictor = Predictor(db, model_weights(db), model_files(db), result_cache(db, settings), market, settings)
    seen = Seen()
    with champion_watch(db, seen, context):
        question = Question(params.symbol, params.model_type, params.horizon_hours)
        answer = predictor.predict(question, context["run_id"], seen)
    stored = {**answer, "timestamp": datetime.fromisoformat(answer["timestamp"])}
    keep(context, PRICE_PREDICTIONS, stored, db)
    return answer
