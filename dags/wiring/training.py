"""The steps that `train_model` and `adaptive_retrain` share: claim, fetch, train, judge, deploy or keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import Label, task

from dags.wiring.defaults import training_pool
from dags.wiring.retry import retries
from dags.wiring.training_operator import TrainingOperator, TrainingParams
from include.errors import BadInputError
from include.settings import get_settings
from include.tasks_api.params.train_model import TrainModelParams

CONCURRENT_TRAININGS_PER_TYPE = 2


def admit_trainings(context: Mapping[str, Any], model_types: Sequence[str], symbol: str) -> list[str]:
    """Refuse what cannot work before anything is done, and claim the trainings for this run.

    :returns: the claimed keys.
    :raises include.ml.errors.DiskFullError: `Insufficient disk space: ...`.
    :raises include.errors.BadInputError: for a symbol unknown to Binance.
    :raises include.errors.LeaseHeldError: `Training already in progress for lstm+BTCUSDT`.
    """
    from dags.wiring.runtime import binance, database, owner_is_over, owner_of
    from include.tasks_api.admission import claim_trainings, require_room, require_symbol

    require_room()
    with binance() as client:
        require_symbol(client, symbol)
    return claim_trainings(database(), model_types, symbol, owner_of(context), owner_is_over(context))


def admit_training(context: Mapping[str, Any], params: TrainModelParams) -> list[str]:
    """Admit a run of `train_model`: as :func:`admit_trainings`, and count it in its user's daily quota.

    The run's job document is written as queued; a refused run has none, counts nothing and holds nothing.

    :raises include.tasks_api.training_quota.RateLimitError: `Rate limit exceeded: max 10 trainings per user ...`.
    """
    from dags.wiring.runtime import database, owner_of, triggering_user
    from include.store.leases import LeaseStore
    from include.tasks_api.admission import queue_training
    from include.tasks_api.training_quota import count_training
    from include.tasks_api.training_request import training_request

    keys = admit_trainings(context, [params.model_type], params.symbol)
    db, ti, user = database(), context["ti"], triggering_user(context)
    try:
        count_training(db, user, ti.run_id, get_settings().trainings_per_user_per_day)
        queue_training(db, training_request(params, params.model_type, ti.dag_id, ti.run_id, 0, user))
    except BaseException:
        LeaseStore(db).release_run(owner_of(context))
        raise
    return keys


def refresh(symbol: str, timeframe: str, days: int) -> dict[str, Any]:
    """Fetch what is missing of the days to learn from and of the warm-up before them."""
    from dags.wiring.runtime import binance, database
    from include.market.candle_store import CandleStore
    from include.market.ingest import ingest
    from include.ml.candle_demand import days_to_store

    with binance() as client:
        return ingest(client, CandleStore(database()), symbol, timeframe, days_to_store(days, timeframe)).to_dict()


def refresh_for_training(context: Mapping[str, Any], params: TrainModelParams) -> dict[str, Any]:
    """Fetch the candles of a run of `train_model` and refuse, before a slot is waited for, what cannot be learned from.

    :raises include.errors.BadInputError: `Insufficient data: ...` or `Corrupt data: ...`; the job document says so.
    """
    from dags.wiring.runtime import database, triggering_user
    from include.market.candle_store import CandleStore
    from include.ml.training_data import require_trainable
    from include.tasks_api.admission import refuse_training
    from include.tasks_api.training_request import training_request

    db, ti = database(), context["ti"]
    request = training_request(params, params.model_type, ti.dag_id, ti.run_id, 0, triggering_user(context))
    try:
        report = refresh(params.symbol, params.timeframe, params.days_of_data)
        require_trainable(CandleStore(db), request)
    except BadInputError as error:
        refuse_training(db, request, error)
        raise
    return report


def train(model_type: str, params_model: TrainingParams, transient_retries: int = 3) -> TrainingOperator:
    """Return the training task of one network, in the training pool."""
    return TrainingOperator(
        task_id="train",
        model_type=model_type,
        params_model=params_model,
        pool=training_pool(),
        queue="ml_training",
        max_active_tis_per_dag=CONCURRENT_TRAININGS_PER_TYPE,
        execution_timeout=timedelta(seconds=get_settings().training_hard_limit_s),
        doc_md=f"Trains the {model_type} network epoch by epoch and registers it as a candidate.",
        **retries(transient_retries),
    )


def deploy_better(trained: TrainingOperator) -> tuple[Any, list[Any]]:
    """Wire judge -> deploy or keep behind a training; return the judging task and the two ends."""

    @task(multiple_outputs=False)
    def judge(result: dict[str, Any]) -> dict[str, Any]:
        """Score candidate and champion on the same bars and apply the deployment rule."""
        from dags.wiring.runtime import promotions

        return promotions().judge(result["model_id"])

    @task.branch
    def deploy_or_keep(judgement: dict[str, Any], **context: Any) -> str:
        """Choose by the verdict."""
        group = context["ti"].task_id.rpartition(".")[0]
        return f"{group}.deploy" if judgement["verdict"]["deploy"] else f"{group}.keep"

    @task(multiple_outputs=False)
    def deploy(judgement: dict[str, Any], **context: Any) -> dict[str, Any]:
        """Make the candidate the champion, if the champion is still the one it was compared with."""
        from dags.wiring.runtime import promotions

        return promotions().deploy(judgement, who=f"{context['dag'].dag_id}/{context['run_id']}")

    @task(multiple_outputs=False)
    def keep(judgement: dict[str, Any]) -> dict[str, Any]:
        """Leave the champion alone and archive the candidate."""
        from dags.wiring.runtime import promotions

        return promotions().keep(judgement)

    judgement = judge(trained.output)
    choice = deploy_or_keep(judgement)
    deployed, kept = deploy(judgement), keep(judgement)
    choice >> Label("good enough and not worse") >> deployed
    choice >> Label("otherwise") >> kept
    return judgement, [deployed, kept]
