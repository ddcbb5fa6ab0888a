"""# Train model

Trains one network (LSTM, GRU or Transformer) on the candles of one symbol, registers the encrypted model as a
candidate and, unless told otherwise, deploys it when the deployment rule allows.

- **When:** on demand.
- **Starts** from the champion's weights where they fit and have not seen the hold-out; with `retrain` from scratch.
  The result says which, and why.
- **Progress:** percent, epoch and loss in the task state store of the training task, at least every 5 %.
- **Goes on:** a killed training continues behind its last finished epoch by itself. After a failure, a cancellation
  or a time limit, a new run with the same parameters and `resume` does.
- **Helps itself:** out of memory: half the batch, at the last checkpoint, three times at most and down to 8. GPU
  missing or failing: the CPU, with a warning in the result.
- **Result:** the document in `training_jobs`, the registry entry in `models`, the XCom of `result`, a message.
- **Fails** without retries on wrong parameters, an unknown symbol, too little or corrupt data, too little disk space,
  too many trainings of the user today, a training of the same network and symbol already in progress, divergence, or a
  time limit; the champion stays as it is.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Label, TaskGroup, dag, task

from dags.wiring.defaults import dag_defaults
from dags.wiring.params import dag_params, run_params
from dags.wiring.training import admit_training, deploy_better, refresh_for_training, train
from include.tasks_api.params.fields import MODEL_TYPES
from include.tasks_api.params.train_model import TrainModelParams


@dag(
    dag_id="train_model",
    description="Trains one network on one symbol.",
    schedule=None,
    params=dag_params(TrainModelParams),
    tags=["ml", "on-demand"],
    dagrun_timeout=timedelta(hours=24),
    doc_md=__doc__,
    **dag_defaults("ml_training", "MLAdmin"),
)
def train_model() -> None:
    """Wire the DAG."""

    @task
    def admit(**context: Any) -> list[str]:
        """Check the params, the disk and the user's quota, and claim the training."""
        return admit_training(context, run_params(TrainModelParams, context))

    @task(multiple_outputs=False)
    def refresh_candles(**context: Any) -> dict[str, Any]:
        """Fetch what is missing of the days to learn from and of the warm-up before them; refuse what is too little."""
        return refresh_for_training(context, run_params(TrainModelParams, context))

    @task.branch
    def choose_network(**context: Any) -> str:
        """Choose the group of the asked-for network."""
        return f"{run_params(TrainModelParams, context).model_type}.train"

    @task.branch
    def is_deployment_wanted(**context: Any) -> str:
        """Go on to the comparison with the champion, unless only a candidate was asked for."""
        group = context["ti"].task_id.rpartition(".")[0]
        return f"{group}.judge" if run_params(TrainModelParams, context).deploy else f"{group}.stay_candidate"

    @task
    def stay_candidate() -> None:
        """Leave the model in the registry as a candidate."""

    @task(trigger_rule="none_failed_min_one_success", multiple_outputs=False)
    def result(**context: Any) -> dict[str, Any]:
        """Return the training's result and what became of the model; free the claim, tell the channels."""
        from dags.wiring.runtime import send
        from dags.wiring.storage import free_claims
        from include.notify.training_complete import training_message

        ti, params = context["ti"], run_params(TrainModelParams, context)
        group = params.model_type
        free_claims(context)
        judgement = ti.xcom_pull(task_ids=f"{group}.judge")
        answer = {
            **ti.xcom_pull(task_ids=f"{group}.train"),
            "deployed": ti.xcom_pull(task_ids=f"{group}.deploy") is not None,
            "verdict": judgement["verdict"] if judgement else None,
        }
        if params.notify:
            send(training_message(answer))
        return answer

    choice = choose_network()
    admit() >> refresh_candles() >> choice
    ended = result()
    for model_type in MODEL_TYPES:
        with TaskGroup(model_type, prefix_group_id=True):
            trained = train(model_type, TrainModelParams)
            wanted = is_deployment_wanted()
            judgement, ends = deploy_better(trained)
            stays = stay_candidate()
            trained >> wanted
            wanted >> Label("compare") >> judgement
            wanted >> Label("candidate only") >> stays
        choice >> Label(model_type) >> trained
        [*ends, stays] >> ended


train_model()
