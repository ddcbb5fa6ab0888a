"""The task that trains: watched, resumable, and stopped cleanly when its run is cancelled."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from airflow.sdk import BaseOperator, Context

from dags.wiring.params import run_params
from include.tasks_api.params.adaptive_retrain import AdaptiveRetrainParams
from include.tasks_api.params.train_model import TrainModelParams

TrainingParams = type[TrainModelParams] | type[AdaptiveRetrainParams]

PROGRESS_KEY = "progress"
"""Key in the task state store: percent, epoch, loss; readable over REST while the task runs."""

ERROR_KEY = "error"
"""Key of the XCom that says why the training failed, for the report."""


class TrainingOperator(BaseOperator):
    """Train one network for the run's params and register it as a candidate.

    :param model_type: `lstm`, `gru` or `transformer`.
    :param params_model: the DAG's params model, `TrainModelParams` or `AdaptiveRetrainParams`.
    """

    def __init__(self, *, model_type: str, params_model: TrainingParams, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model_type = model_type
        self.params_model = params_model

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the training; a retry continues behind the last finished epoch.

        The claim on (network, symbol) is renewed by every report of progress; a newer try or another run that
        took it over makes this one stop writing.
        """
        from dags.wiring.runtime import database, model_files, owner_is_over, owner_of
        from include.market.candle_store import CandleStore
        from include.ml.registry import ModelRegistry
        from include.ml.train_job import run_training
        from include.settings import get_settings
        from include.store.leases import LeaseStore
        from include.tasks_api.admission import claim_training
        from include.tasks_api.training_request import training_request

        self._stop = threading.Event()
        ti, progress_store = context["ti"], context["task_state_store"]
        request = training_request(
            run_params(self.params_model, context), self.model_type, ti.dag_id, ti.run_id, ti.try_number
        )
        db = database()
        leases = LeaseStore(db)
        lease = claim_training(
            db, self.model_type, request.symbol, owner_of(context), ti.try_number, owner_is_over(context)
        )

        def on_progress(percent: int, details: Mapping[str, Any]) -> None:
            leases.renew(lease)
            progress_store.set(PROGRESS_KEY, {"percent": percent, **details})

        try:
            return run_training(
                request,
                db=db,
                candle_store=CandleStore(db),
                files=model_files(db),
                registry=ModelRegistry(db),
                checkpoint_dir=get_settings().checkpoint_dir,
                on_progress=on_progress,
                should_stop=self._stop.is_set,
                guard=lambda: leases.check(lease),
            )
        except Exception as error:
            ti.xcom_push(ERROR_KEY, {"error": str(error), "error_type": type(error).__name__})
            raise

    def on_kill(self) -> None:
        """Ask the loop to end after the running step; the checkpoint of the last finished epoch exists."""
        stop = getattr(self, "_stop", None)
        if stop is not None:
            stop.set()
