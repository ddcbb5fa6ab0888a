"""Every collection of the bundle's database and its indexes, in one place.

`_id` of a result document is the `task_id` (the DAG run id), so that a retry overwrites and never
duplicates. :func:`ensure_indexes` may be called again at any time.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from pymongo import ASCENDING, DESCENDING, IndexModel

from include.store.outage import mongo_outage

if TYPE_CHECKING:
    from pymongo.database import Database

CANDLES = "candles"
TRAINING_JOBS = "training_jobs"
MODELS = "models"
CHAMPIONS = "champions"
DEPLOYMENTS = "deployments"
MODEL_SCORES = "model_scores"
PERFORMANCE_METRICS = "performance_metrics"
GPT4_ANALYSIS_HISTORY = "gpt4_analysis_history"
GPT4_COSTS = "gpt4_costs"
GPT4_BUDGET = "gpt4_budget"
"""One document: what today and this month have spent on GPT-4, kept by compare-and-set."""
RETRAIN_HISTORY = "retrain_history"
LEASES = "leases"
META = "meta"
INDEXES_MADE = "indexes"
OUTBOX = "outbox"
OUTBOX_CHANNELS = "outbox_channels"
"""Per channel: who delivers to it now, since when it fails, when it is tried again."""
BULK_ANALYSES = "bulk_analyses"
PRICE_PREDICTIONS = "price_predictions"
MODEL_WEIGHTS = "model_weights"
"""Encrypted plain arrays of the models' weights, for forecasts without TensorFlow; `_id` = the model file's name."""
CHAMPION_FAILURES = "champion_failures"
"""Per champion's model: failures in a row to load or to forecast."""
RESULT_CACHE = "result_cache"
"""Answers that may be given again for a while, where no Redis is configured."""
TRAINING_QUOTA = "training_quota"
"""One document per user and day (UTC): the runs that it counts."""
HEALTH_REPORTS = "health_reports"
HEALTH_STATE = "health_state"
"""Per service: since when it is down or degraded, and what was said about it."""
PORTFOLIO_REPORTS = "portfolio_reports"
API_COST_HISTORY = "api_cost_history"
EQUITY_HISTORY = "equity_history"
"""The engine's balance and equity, as the strategy watchdog saw them."""
GPT4_SWITCH = "gpt4_switch"
"""One document: whether GPT-4 may be asked; changed by compare-and-set."""
GPT4_SWITCH_HISTORY = "gpt4_switch_history"
"""Every change of that switch: who, when, why, on what evidence. Append-only."""
KILL_SWITCH = "kill_switch"
"""One document per disabled or re-enabled strategy: what must hold now."""
KILL_SWITCH_HISTORY = "kill_switch_history"
"""Every change of a kill switch and what the engine answered. Append-only."""
RISK_STATE = "risk_state"
"""What the strategy watchdog said last, and when."""
AUDIT_LOG = "audit_log"
"""One row per try of every task of every DAG."""
DEAD_LETTERS = "dead_letters"
"""Runs that have failed for good, with everything needed to run them again."""
BACKTEST_RESULTS = "backtest_results"
OPTIMIZATION_RESULTS = "optimization_results"
OPTIMIZATION_VARIATIONS = "optimization_variations"
"""Finished variations of optimisations that are not finished themselves, so that a killed one continues."""
STRATEGY_REPORTS_BUCKET = "strategy_reports"
"""Name of the GridFS bucket that keeps the pages of backtests and optimisations."""
MODEL_FILES_BUCKET = "model_files"
"""Name of the GridFS bucket that keeps the encrypted model files."""

INDEXES: dict[str, list[IndexModel]] = {
    CANDLES: [
        IndexModel(
            [("symbol", ASCENDING), ("timeframe", ASCENDING), ("open_time", ASCENDING)],
            unique=True,
            name="symbol_timeframe_open_time",
        )
    ],
    TRAINING_JOBS: [
        IndexModel(
            [("model_type", ASCENDING), ("symbol", ASCENDING), ("created_at", DESCENDING)], name="type_symbol_created"
        ),
        IndexModel([("status", ASCENDING)], name="status"),
    ],
    MODELS: [
        IndexModel(
            [("model_type", ASCENDING), ("symbol", ASCENDING), ("timeframe", ASCENDING), ("created_at", DESCENDING)],
            name="type_symbol_timeframe_created",
        ),
        IndexModel([("state", ASCENDING)], name="state"),
        IndexModel([("file.name", ASCENDING)], name="file_name"),
    ],
    f"{MODEL_FILES_BUCKET}.files": [IndexModel([("filename", ASCENDING)], unique=True, name="filename")],
    DEPLOYMENTS: [IndexModel([("champion_id", ASCENDING), ("at", DESCENDING)], name="champion_at")],
    MODEL_SCORES: [
        IndexModel([("timestamp", DESCENDING)], name="timestamp"),
        IndexModel(
            [("model_type", ASCENDING), ("symbol", ASCENDING), ("timeframe", ASCENDING), ("date", DESCENDING)],
            name="type_symbol_timeframe_date",
        ),
    ],
    PERFORMANCE_METRICS: [
        IndexModel([("timestamp", DESCENDING)], name="timestamp"),
        IndexModel([("date", DESCENDING)], name="date"),
        IndexModel([("trigger_ai_analysis", ASCENDING)], name="trigger_ai_analysis"),
    ],
    GPT4_ANALYSIS_HISTORY: [
        IndexModel([("timestamp", DESCENDING)], name="timestamp"),
        IndexModel([("recommendation", ASCENDING)], name="recommendation"),
        IndexModel([("retrain_triggered", ASCENDING)], name="retrain_triggered"),
        IndexModel([("finding_key", ASCENDING)], name="finding_key"),
    ],
    GPT4_COSTS: [
        IndexModel([("timestamp", DESCENDING)], name="timestamp"),
        IndexModel([("task_id", ASCENDING)], name="task_id"),
    ],
    RETRAIN_HISTORY: [
        IndexModel([("timestamp", DESCENDING)], name="timestamp"),
        IndexModel([("trigger_type", ASCENDING)], name="trigger_type"),
    ],
    BULK_ANALYSES: [IndexModel([("timestamp", DESCENDING)], name="timestamp")],
    PRICE_PREDICTIONS: [IndexModel([("symbol", ASCENDING), ("timestamp", DESCENDING)], name="symbol_timestamp")],
    RESULT_CACHE: [IndexModel([("expires_at", ASCENDING)], expireAfterSeconds=0, name="expires_at")],
    TRAINING_QUOTA: [IndexModel([("expires_at", ASCENDING)], expireAfterSeconds=0, name="expires_at")],
    BACKTEST_RESULTS: [
        IndexModel([("timestamp", DESCENDING)], name="timestamp"),
        IndexModel(
            [("strategy", ASCENDING), ("symbol", ASCENDING), ("timestamp", DESCENDING)],
            name="strategy_symbol_timestamp",
        ),
    ],
    OPTIMIZATION_RESULTS: [
        IndexModel([("timestamp", DESCENDING)], name="timestamp"),
        IndexModel(
            [("strategy", ASCENDING), ("symbol", ASCENDING), ("timestamp", DESCENDING)],
            name="strategy_symbol_timestamp",
        ),
    ],
    OPTIMIZATION_VARIATIONS: [
        IndexModel([("run_id", ASCENDING), ("segment", ASCENDING)], name="run_segment"),
        IndexModel([("at", ASCENDING)], name="at"),
    ],
    f"{STRATEGY_REPORTS_BUCKET}.files": [
        IndexModel([("filename", ASCENDING), ("metadata.try_number", DESCENDING)], name="filename_try"),
        IndexModel([("uploadDate", ASCENDING)], name="uploaded"),
    ],
    LEASES: [IndexModel([("owner.run_id", ASCENDING)], name="owner_run")],
    HEALTH_REPORTS: [IndexModel([("timestamp", DESCENDING)], name="timestamp")],
    PORTFOLIO_REPORTS: [
        IndexModel([("timestamp", DESCENDING)], name="timestamp"),
        IndexModel([("date", DESCENDING)], name="date"),
    ],
    API_COST_HISTORY: [
        IndexModel([("timestamp", DESCENDING)], name="timestamp"),
        IndexModel([("date", DESCENDING)], name="date"),
    ],
    EQUITY_HISTORY: [IndexModel([("timestamp", DESCENDING)], name="timestamp")],
    GPT4_SWITCH_HISTORY: [IndexModel([("at", DESCENDING)], name="at")],
    KILL_SWITCH_HISTORY: [IndexModel([("strategy", ASCENDING), ("at", DESCENDING)], name="strategy_at")],
    AUDIT_LOG: [
        IndexModel([("started_at", DESCENDING)], name="started_at"),
        IndexModel([("dag_id", ASCENDING), ("run_id", ASCENDING)], name="dag_run"),
        IndexModel([("state", ASCENDING), ("started_at", DESCENDING)], name="state_started"),
    ],
    DEAD_LETTERS: [
        IndexModel([("dag_id", ASCENDING), ("failed_at", DESCENDING)], name="dag_failed"),
        IndexModel([("state", ASCENDING), ("failed_at", DESCENDING)], name="state_failed"),
    ],
    OUTBOX: [
        IndexModel([("dedupe_key", ASCENDING)], unique=True, name="dedupe_key"),
        IndexModel([("state", ASCENDING), ("created_at", ASCENDING)], name="state_created"),
        IndexModel([("state", ASCENDING), ("queued_at", ASCENDING)], name="state_queued"),
        IndexModel([("unsaid", ASCENDING)], partialFilterExpression={"unsaid": True}, name="unsaid"),
    ],
}


def ensure_indexes(db: Database[dict[str, Any]]) -> None:
    """Create every missing index of the bundle's collections; one read where that has been done before.

    :raises include.errors.ServiceUnavailableError: while MongoDB is away.
    :raises pymongo.errors.OperationFailure: when an index of the same name differs.
    """
    description = {name: [index.document for index in indexes] for name, indexes in INDEXES.items()}
    digest = hashlib.sha256(json.dumps(description, sort_keys=True, default=str).encode()).hexdigest()
    with mongo_outage("making the indexes"):
        known = db[META].find_one({"_id": INDEXES_MADE})
        if known is not None and known["sha256"] == digest:
            return
        for collection, indexes in INDEXES.items():
            db[collection].create_indexes(indexes)
        db[META].replace_one({"_id": INDEXES_MADE}, {"sha256": digest}, upsert=True)
