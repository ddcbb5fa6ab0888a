"""# Predict price

The price of one symbol for each of the next 1 to 48 hours: median, a band that holds 80 of 100 prices, and a
confidence, from the deployed model of hourly candles.

- **When:** on demand.
- **Confidence** is the probability, by the model's own forecast, that the price is within 1 % of the predicted one:
  0.8 means that 80 of 100 such forecasts are expected to be at most 1 % off. It falls from hour to hour.
- **How far to trust it:** the answer carries the model's age, its accuracy beside the baseline's on bars that it had
  not seen (*no edge shown* where it was not better), how many prices its band held there, and whether the market has
  drifted away from what it was trained on.
- **Cached** for 15 minutes per deployed model.
- **Result:** the document in `price_predictions`, the XCom of `predict`.
- **Fails** without retries when no model is deployed, or it is older than 30 days (train it: the message says how), or
  it cannot be loaded or forecasts what is no price. After three such failures in a row the model is rolled back to the
  one before it, with a CRITICAL message.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from dags.wiring.defaults import dag_defaults
from dags.wiring.params import dag_params
from include.tasks_api.params.predict_price import PredictPriceParams


@dag(
    dag_id="predict_price",
    description="Forecasts one symbol's price for the next hours.",
    schedule=None,
    params=dag_params(PredictPriceParams),
    tags=["ml", "on-demand"],
    dagrun_timeout=timedelta(hours=1),
    doc_md=__doc__,
    **dag_defaults("bulk_analysis", "MLAdmin", "Trader"),
)
def predict_price() -> None:
    """Wire the DAG."""

    @task(multiple_outputs=False)
    def predict(**context: Any) -> dict[str, Any]:
        """Fetch the newest candles, ask the model, and store the answer."""
        from dags.wiring.prediction import predict as answer

        return answer(context)

    predict()


predict_price()
