"""A training as people ask for it, a hundred epochs: its progress, its record, its model and its message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from include.ml.registry import ModelRegistry
from include.store import collections
from tests.chain.channels import delivered_everywhere
from tests.chain.conftest import PATIENCE, Bundle, eventually
from tests.chain.trainings import LONG_TIMEOUT_S, TRAIN, job_of, progress_of, trained

pytestmark = pytest.mark.long

FULL = {"model_type": "lstm", "symbol": "BTCUSDT", "days_of_data": 30, "epochs": 100, "batch_size": 64, "retrain": True}


def test_tc_async_001_007_018_021_022_024_030_hundred_epochs_of_an_lstm_on_thirty_days(
    bundle: Bundle,
) -> None:
    run_id = bundle.start(TRAIN, FULL)
    seen: list[dict[str, Any]] = []

    def over() -> bool:
        news = progress_of(bundle, run_id, "lstm")
        if news and news not in seen[-1:]:
            seen.append(news)
        return bundle.client.run(TRAIN, run_id)["state"] in ("success", "failed")

    eventually(over, LONG_TIMEOUT_S, PATIENCE)
    run = bundle.finish(TRAIN, run_id)
    result = trained(run)
    numbers = result["training_results"]
    assert (result["status"], result["model_type"], result["symbol"]) == ("success", "lstm", "BTCUSDT")
    assert (numbers["epochs_completed"], result["batch_size"], result["data"]["bars"]) == (100, 64, 720)
    assert numbers["val_accuracy"] >= 0.60
    assert 1 <= numbers["best_epoch"] <= 100
    assert result["started_from_reason"] == "from scratch, as asked for"
    assert (result["device"], result["warnings"]) == ("cpu", ["GPU not available, using CPU"])
    assert 200 < result["peak_memory_mb"] < 8000
    path = Path(result["model_path"])
    assert path.exists()
    assert not path.read_bytes().startswith(b"PK"), "a Keras file is a zip: this one must be encrypted"

    percents = [news["percent"] for news in seen]
    assert percents == sorted(percents)
    assert seen[-1]["message"] == "Complete"
    assert percents[-1] == 100
    assert any(news["message"].startswith("Training epoch ") and news.get("total_epochs") == 100 for news in seen[:-1])

    job = job_of(bundle, run_id)
    assert (job["status"], job["model_type"], job["symbol"]) == ("completed", "lstm", "BTCUSDT")
    assert [entry["status"] for entry in job["history"]] == ["queued", "running", "completed"]
    assert [epoch["epoch"] for epoch in job["epoch_metrics"]] == list(range(1, 101))
    assert (job["seed"], job["requested_by"], job["data"]) == (7, "admin", result["data"])
    assert {"python", "tensorflow", "keras", "numpy", "code_sha256"} == set(job["versions"])
    assert job["val_accuracy"] == numbers["val_accuracy"]

    record = ModelRegistry(bundle.db).get(result["model_id"])
    assert record.weights_sha256
    assert bundle.db[collections.MODEL_WEIGHTS].find_one({"_id": record.file.name}) is not None
    assert record.feature_distribution is not None
    (message,) = bundle.messages(run_id)
    assert message["severity"] == "info"
    assert f"baseline {numbers['baseline_accuracy']:.1%}" in message["body"]
    assert ("an edge is shown" if numbers["edge"] else "no edge shown") in message["body"]
    assert delivered_everywhere(message)
