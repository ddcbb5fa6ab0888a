"""What a Celery worker imports once, before its tasks fork off: `imports` in `[celery] extra_celery_config`.

Every task is a process of its own, a fork of the worker: what the worker has imported, the task finds imported. Anew in
every task it would be more than half of the processor time of a task that answers from a cache
(`docs/decisions/0015-deployment.md` has the figures).

Only what is light and starts nothing when it is imported: a fork has neither the threads nor the connections of its
parent. No setting is read, so that a wrong one fails in the task that needs it, with its message. TensorFlow stays out:
few tasks need its 500 MB, and it starts threads.

A worker whose tasks are all backtests and optimisations imports what those compute with, too:
`TRADING_OPS_PRELOAD=laboratory` in its environment (pandas, Bokeh and the bundle's own: more than a processor second).
"""

from __future__ import annotations

import importlib
import os

AIRFLOW = (
    "airflow.dag_processing.dagbag",
    "airflow.providers.mongo.hooks.mongo",
    "airflow.sdk.definitions.asset.metadata",
    "airflow.sdk.definitions.decorators.condition",
    "airflow.sdk.definitions.decorators.setup_teardown",
    "airflow.sdk.execution_time.cache",
    "airflow.sdk.execution_time.task_runner",
)
"""What every task's process imports before it reads its DAG file."""

LIBRARIES = (
    "cryptography.hazmat.primitives.ciphers.aead",
    "httpx",
    "numpy",
    "pydantic_settings",
    "pymongo",
    "pymongo.synchronous.auth",
    "redis",
)

BUNDLE = (
    "dags.wiring.champion_watch",
    "dags.wiring.defaults",
    "dags.wiring.params",
    "dags.wiring.prediction",
    "dags.wiring.runtime",
    "dags.wiring.storage",
    "include.audit.listeners",
    "include.market.candle_store",
    "include.ml.light.weight_store",
    "include.ml.prediction.market",
    "include.ml.prediction.predict",
    "include.store.durable",
    "include.store.mongo",
    "include.store.result_cache",
    "include.strategies.report_address",
    "include.tasks_api.params.predict_price",
)
"""What a prediction, and most other tasks, use of the bundle: its code never changes under a running worker."""

LABORATORY = (
    "dags.wiring.strategy_lab",
    "dags.wiring.strategy_operators",
    "include.market.gaps",
    "include.market.ingest",
    "include.strategies.backtest",
    "include.strategies.kept_result",
    "include.strategies.optimise.memory_store",
    "include.strategies.optimise.run",
    "include.tasks_api.strategy_request",
)
"""What a backtest and an optimisation compute with."""


def wanted() -> tuple[str, ...]:
    """Return the modules for this worker."""
    more = {"laboratory": LABORATORY}.get(os.environ.get("TRADING_OPS_PRELOAD", ""), ())
    return (*AIRFLOW, *LIBRARIES, *BUNDLE, *more)


for name in wanted():
    importlib.import_module(name)
