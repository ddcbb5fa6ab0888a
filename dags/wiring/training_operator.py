"""The task that trains: watched, resumable, and stopped cleanly when its run is cancelled."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException, AirflowTaskTimeout

from dags.wiring.params import run_params
from include.tasks_api.params.adaptive_retrain import AdaptiveRetrainParams
from include.tasks_api.params.train_model import TrainModelParams

if TYPE_CHECKING:
    from pymongo.database import Database

TrainingParams = type[TrainModelParams] | type[AdaptiveRetrainParams]

PROGRESS_KEY = "progress"
"""Key in the task state store: percent, epoch, loss; readable over REST while the task runs."""

ERROR_KEY = "error"
"""Key of the XCom that says why the training failed, for the report."""

RENEWALS_PER_LEASE = 4


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

        The claim on (network, symbol) is renewed while it trains; a newer try or another run that took it over
        makes this one stop writing. A cancelled run's job document and claim are put right in a thread of their own.
        """
        try:
            return self._train(context)
        except AirflowTaskTimeout as error:
            raise AirflowFailException(
                f"Training exceeded its hard limit of {self.execution_timeout} and was ended; the checkpoint of its "
                "last finished epoch is kept: find out what held it up (its soft limit comes first), then start "
                "train_model with resume=true"
            ) from error

    def _train(self, context: Context) -> dict[str, Any]:
        from datetime import UTC, datetime

        from dags.wiring.runtime import database, owner_is_over, owner_of
        from include.ml.termination import TerminationWatch
        from include.ml.training_job import cancel_jobs
        from include.store.leases import LeaseStore

        self._stop = threading.Event()
        db, owner, is_over = database(), owner_of(context), owner_is_over(context)

        def on_term() -> None:
            """Put a cancelled run's documents right; a worker that is only shut down leaves its run going on."""
            try:
                if is_over(owner):
                    cancel_jobs(db, owner.run_id, datetime.now(UTC))
                    LeaseStore(db).release_run(owner)
            finally:
                self._stop.set()

        try:
            with TerminationWatch(on_term):
                return self._train_watched(context, db)
        except Exception as error:
            context["ti"].xcom_push(ERROR_KEY, {"error": str(error), "error_type": type(error).__name__})
            raise

    def _train_watched(self, context: Context, db: Database[dict[str, Any]]) -> dict[str, Any]:
        from dags.wiring.runtime import model_files, model_weights, owner_is_over, owner_of, triggering_user
        from include.market.candle_store import CandleStore
        from include.ml.registry import ModelRegistry
        from include.ml.train_job import run_training
        from include.settings import get_settings
        from include.store.leases import LeaseStore, Owner
        from include.tasks_api.admission import claim_training
        from include.tasks_api.training_request import soft_limit_s, training_request

        ti, progress_store, settings = context["ti"], context["task_state_store"], get_settings()
        params = run_params(self.params_model, context)
        request = training_request(
            params, self.model_type, ti.dag_id, ti.run_id, ti.try_number, triggering_user(context)
        )
        leases, owner, is_over = LeaseStore(db), owner_of(context), owner_is_over(context)
        lease = claim_training(db, self.model_type, request.symbol, owner, ti.try_number, is_over)
        renewed = time.monotonic()

        def on_step() -> None:
            nonlocal renewed
            if time.monotonic() - renewed > settings.training_lease_s / RENEWALS_PER_LEASE:
                leases.renew(lease)
                renewed = time.monotonic()

        def on_progress(percent: int, details: Mapping[str, Any]) -> None:
            leases.renew(lease)
            progress_store.set(PROGRESS_KEY, {"percent": percent, **details})

        return run_training(
            request,
            db=db,
            candle_store=CandleStore(db),
            files=model_files(db),
            registry=ModelRegistry(db),
            weights=model_weights(db),
            checkpoint_dir=settings.checkpoint_dir,
            on_progress=on_progress,
            on_step=on_step,
            should_stop=self._stop.is_set,
            guard=lambda: leases.check(lease),
            run_is_over=lambda dag_id, run_id: is_over(Owner(dag_id, run_id)),
            soft_limit_s=soft_limit_s(params),
            min_free_disk_gb=settings.min_free_disk_gb,
        )

    def on_kill(self) -> None:
        """Do nothing: the watch hears the same signal, and ends the loop once the documents are right.

        This runs in the main thread, whenever it returns from native code, and may find any lock taken.
        """
