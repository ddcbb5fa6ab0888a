"""From the params of a run to the training that it asks for."""

from __future__ import annotations

import os

from include.ml.config import TrainingConfig
from include.ml.train_request import TrainRequest
from include.settings import get_settings
from include.tasks_api.params.adaptive_retrain import AdaptiveRetrainParams
from include.tasks_api.params.train_model import TrainModelParams

RETRAIN_TIMEFRAME = "1h"
"""Retraining and price forecasts work on hourly candles."""


def threads_per_training() -> int:
    """Return TensorFlow's threads: the cores of this process divided by the trainings that may run at once."""
    return max(1, len(os.sched_getaffinity(0)) // get_settings().max_concurrent_trainings)


def request_of_training(
    params: TrainModelParams, dag_id: str, run_id: str, try_number: int, requested_by: str | None = None
) -> TrainRequest:
    """Return what a run of `train_model` asks for."""
    config = TrainingConfig(
        model_type=params.model_type,
        epochs=params.epochs,
        batch_size=params.batch_size,
        learning_rate=params.learning_rate,
        validation_split=params.validation_split,
        target=params.target,
        seed=params.seed,
        early_stopping_patience=params.early_stopping_patience if params.early_stopping else None,
        threads=threads_per_training(),
    )
    return TrainRequest(
        params.symbol,
        params.timeframe,
        params.days_of_data,
        config,
        run_id,
        try_number,
        dag_id,
        from_champion=not params.retrain,
        resume=params.resume,
        requested_by=requested_by,
    )


def request_of_retraining(
    params: AdaptiveRetrainParams,
    model_type: str,
    dag_id: str,
    run_id: str,
    try_number: int,
    requested_by: str | None = None,
) -> TrainRequest:
    """Return what one network's branch of `adaptive_retrain` asks for: always from scratch."""
    config = TrainingConfig.from_dict(
        {"model_type": model_type, "epochs": params.epochs, "seed": params.seed, "threads": threads_per_training()}
    )
    return TrainRequest(
        params.symbol,
        RETRAIN_TIMEFRAME,
        params.days_of_data,
        config,
        run_id,
        try_number,
        dag_id,
        shared_run=True,
        max_candle_age_bars=get_settings().max_candle_age_bars,
        requested_by=requested_by,
    )


def training_request(
    params: TrainModelParams | AdaptiveRetrainParams,
    model_type: str,
    dag_id: str,
    run_id: str,
    try_number: int,
    requested_by: str | None = None,
) -> TrainRequest:
    """Return the training that a run asks for.

    :param try_number: of the training task; it fences older tries off.
    :param requested_by: who started the run.
    """
    if isinstance(params, TrainModelParams):
        return request_of_training(params, dag_id, run_id, try_number, requested_by)
    return request_of_retraining(params, model_type, dag_id, run_id, try_number, requested_by)


def soft_limit_s(params: TrainModelParams | AdaptiveRetrainParams) -> float:
    """Return the seconds a try of the training may take: the run's own limit, at most the configured one."""
    configured = get_settings().training_soft_limit_s
    asked_s = 60.0 * getattr(params, "soft_limit_minutes", 0.0)
    return min(asked_s, configured) if asked_s > 0 else configured
