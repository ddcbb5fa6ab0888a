"""What a run asks a training to do. Importing this loads neither numpy nor pymongo."""

from __future__ import annotations

from dataclasses import dataclass

from include.ml.config import TrainingConfig


@dataclass(frozen=True)
class TrainRequest:
    """One training that a run asks for.

    :param days_of_data: newest days of candles that become samples.
    :param task_id: the DAG run id. `try_number` grows with every try of that run and fences the older ones off.
    :param shared_run: whether the run trains several model types (then each has its own job document).
    :param max_candle_age_bars: refuse candles whose newest one closed longer ago than that; None takes any.
    :param from_champion: start from the champion's weights where that is allowed (see `include.ml.starting_point`).
    :param resume: continue the newest checkpoint of an earlier, unfinished run (see `include.ml.earlier_run`).
    :param requested_by: name of the user who started the run, for the job document.
    """

    symbol: str
    timeframe: str
    days_of_data: int
    config: TrainingConfig
    task_id: str
    try_number: int = 1
    dag_id: str = "train_model"
    shared_run: bool = False
    max_candle_age_bars: int | None = None
    from_champion: bool = False
    resume: bool = False
    requested_by: str | None = None

    @property
    def model_type(self) -> str:
        """`lstm`, `gru` or `transformer`."""
        return self.config.model_type

    @property
    def job_id(self) -> str:
        """`_id` of the job document: the task id, with the model type where a run trains several."""
        return f"{self.task_id}:{self.model_type}" if self.shared_run else self.task_id
