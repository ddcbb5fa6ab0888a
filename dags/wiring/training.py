"""The steps that `train_model` and `adaptive_retrain` share: claim, fetch, train, judge, deploy or keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import Label, task

from dags.wiring.defaults import TRAINING_POOL
from dags.wiring.retry import retries
from dags.wiring.training_operator import TrainingOperator, TrainingParams

TRAINING_TIMEOUT = timedelta(hours=2, minutes=30)
CONCURRENT_TRAININGS_PER_TYPE = 2


def admit_trainings(context: Mapping[str, Any], model_types: Sequence[str], symbol: str) -> list[str]:
    """Refuse what cannot work before anything is done, and claim the trainings for this run.

    :returns: the claimed keys.
    :raises include.errors.BadInputError: for a symbol unknown to Binance.
    :raises include.errors.LeaseHeldError: `Training already in progress for lstm+BTCUSDT`.
    """
    from dags.wiring.runtime import binance, database, owner_is_over, owner_of
    from include.tasks_api.admission import claim_trainings

    with binance() as client:
        client.exchange_info(symbol)
    return claim_trainings(database(), model_types, symbol, owner_of(context), owner_is_over(context))


def refresh(symbol: str, timeframe: str, days: int) -> dict[str, Any]:
    """Fetch what is missing of the days to learn from and of the warm-up before them."""
    from dags.wiring.runtime import binance, database
    from include.market.candle_store import CandleStore
    from include.market.ingest import ingest
    from include.ml.candle_demand import days_to_store

    with binance() as client:
        return ingest(client, CandleStore(database()), symbol, timeframe, days_to_store(days, timeframe)).to_dict()


def train(model_type: str, params_model: TrainingParams, transient_retries: int = 3) -> TrainingOperator:
    """Return the training task of one network, in the training pool."""
    return TrainingOperator(
        task_id="train",
        model_type=model_type,
        params_model=params_model,
        pool=TRAINING_POOL,
        queue="ml_training",
        max_active_tis_per_dag=CONCURRENT_TRAININGS_PER_TYPE,
        execution_timeout=TRAINING_TIMEOUT,
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
