"""`train_model` on a machine that runs out of memory, and on one that runs out of disk (`inside/sitecustomize.py`)."""

from __future__ import annotations

import pytest

from include.store import collections
from tests.chain.conftest import Bundle

pytestmark = pytest.mark.slow

CONF = {
    "model_type": "lstm", "symbol": "ETHUSDT", "timeframe": "15m", "days_of_data": 7, "epochs": 1, "batch_size": 1024,
    "deploy": False,
}  # fmt: skip


@pytest.mark.long
def test_tc_async_003_a_batch_that_does_not_fit_is_halved_until_it_does(bundle: Bundle) -> None:
    run = bundle.run("train_model", CONF)
    assert run.state == "success", run.story
    result = run.xcom("result")
    assert (result["batch_size_asked"], result["batch_size"]) == (1024, 256)
    assert [warning for warning in result["warnings"] if warning.startswith("Out of memory")] == [
        "Out of memory: batch_size reduced from 1024 to 512",
        "Out of memory: batch_size reduced from 512 to 256",
    ]
    assert result["training_results"]["epochs_completed"] == 1
    assert run.tries["lstm.train"] == 1


def test_tc_async_026_without_enough_free_disk_nothing_starts(bundle: Bundle) -> None:
    bundle.disk_full_marker.touch()
    try:
        run = bundle.run("train_model", {**CONF, "batch_size": 64})
    finally:
        bundle.disk_full_marker.unlink()
    assert (run.state, run.tries["admit"]) == ("failed", 1), run.story
    assert run.tasks["refresh_candles"] == "upstream_failed"
    (message,) = bundle.messages(run.run_id)
    assert "Insufficient disk space: 0.5 GB free in" in message["body"]
    assert "1.0 GB needed (TRADING_OPS_MIN_FREE_DISK_GB)" in message["body"]
    assert bundle.db[collections.LEASES].count_documents({"owner.run_id": run.run_id}) == 0
