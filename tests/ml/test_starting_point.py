"""Transfer learning: from the champion where it fits and has not seen the hold-out, from scratch where not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymongo.database import Database

from include.ml.errors import TrainingInterruptedError
from include.ml.loaded_model import load_model
from include.ml.starting_point import choose_start
from include.ml.training_data import load_training_data
from tests.ml.training_room import CLOCK, CONFIG, REQUEST, Room, stop_after

ONE_EPOCH = replace(CONFIG, epochs=1)
INCREMENTAL = replace(REQUEST, task_id="incremental", config=ONE_EPOCH, from_champion=True)


@pytest.fixture
def room(db: Database[dict[str, Any]], market_data_dir: Path, tmp_path: Path) -> Room:
    """Candles to the end of May, and the champion of the first twenty days of it."""
    made = Room(db, market_data_dir, tmp_path)
    made.candle_store.upsert(made.candles("2024-05-20", days=45))
    champion = made.train(replace(REQUEST, task_id="champion", config=replace(CONFIG, epochs=2)))
    made.registry.promote(champion["model_id"], None, who="test", why="first")
    made.candle_store.upsert(made.candles("2024-06-01", days=20))
    return made


def test_tc_async_018_019_a_training_starts_from_the_champions_weights_and_scaler_or_with_retrain_from_scratch(
    room: Room,
) -> None:
    result = room.train(replace(INCREMENTAL, config=replace(ONE_EPOCH, learning_rate=1e-9)))
    champion = room.registry.get("champion:lstm")
    new = room.registry.get(result["model_id"])
    assert result["started_from"] == "champion:lstm"
    assert "from the weights of champion champion:lstm, with its scaler" in result["started_from_reason"]
    # With next to no learning rate the network is the champion; only the band is calibrated on its own slice.
    old, now = (load_model(record, room.files).model for record in (champion, new))
    for layer in ("lstm_1", "skip", "trunk", "baseline"):
        for before, after in zip(old.get_layer(layer).get_weights(), now.get_layer(layer).get_weights(), strict=True):
            np.testing.assert_allclose(before, after, atol=1e-5)
    assert new.spec["scaler_mean"] == champion.spec["scaler_mean"]
    assert new.spec["scaler_scale"] == champion.spec["scaler_scale"]
    assert new.spec["data_end_ms"] > champion.spec["data_end_ms"]
    assert champion.spec["training_end_ms"] <= new.spec["training_end_ms"] <= new.spec["split_ms"]
    assert new.training["started_from"] == room.job("incremental")["started_from"] == "champion:lstm"

    scratch = room.train(replace(INCREMENTAL, task_id="scratch", from_champion=False))
    assert scratch["started_from"] is None
    assert scratch["started_from_reason"] == "from scratch, as asked for"
    assert room.registry.get(scratch["model_id"]).spec["scaler_mean"] != champion.spec["scaler_mean"]
    fresh = load_model(room.registry.get(scratch["model_id"]), room.files).model
    pairs = zip(old.get_layer("lstm_1").get_weights(), fresh.get_layer("lstm_1").get_weights(), strict=True)
    assert max(float(np.abs(before - after).max()) for before, after in pairs) > 1e-3


def test_a_champion_that_does_not_fit_has_seen_the_holdout_or_is_unreadable_is_not_started_from(room: Room) -> None:
    for changes, reason in (
        # With half of the data held out, the hold-out begins before the champion's training ended.
        ({"validation_split": 0.49}, "was trained with candles up to 2024-05-1"),
        ({"validation_split": 0.49}, "must be unseen, 8 bars apart"),
        ({"target": "return"}, "has another target (trend instead of return)"),
        ({"window": 24}, "has another window (16 instead of 24)"),
        ({"model_type": "gru"}, "there is no champion of gru BTCUSDT 1h yet"),
        ({"size": "standard"}, "has another size (small instead of standard)"),
    ):
        request = replace(INCREMENTAL, days_of_data=40, config=replace(ONE_EPOCH, **changes))
        spec = load_training_data(room.candle_store, request, pinned=None, now=CLOCK).dataset.spec
        start = choose_start(request, spec, room.registry, room.files)
        assert start.model_id is None, changes
        assert start.reason.startswith("from scratch: ")
        assert reason in start.reason
    spec = load_training_data(room.candle_store, INCREMENTAL, pinned=None, now=CLOCK).dataset.spec
    assert choose_start(INCREMENTAL, spec, room.registry, room.files).model_id == "champion:lstm"
    room.files.remove(room.registry.get("champion:lstm").file.name)
    unreadable = choose_start(INCREMENTAL, spec, room.registry, room.files)
    assert unreadable.model_id is None
    assert "from scratch: the champion of lstm BTCUSDT 1h cannot be read" in unreadable.reason
    assert "is missing from the database" in unreadable.reason


def test_a_retry_goes_on_from_the_same_model_although_another_is_champion_by_then(room: Room) -> None:
    request = replace(INCREMENTAL, config=replace(CONFIG, epochs=4))
    on_progress, should_stop = stop_after(2)
    with pytest.raises(TrainingInterruptedError):
        room.train(request, on_progress=on_progress, should_stop=should_stop)
    newer = room.train(replace(REQUEST, task_id="newer", config=ONE_EPOCH))
    room.registry.promote(newer["model_id"], "champion:lstm", who="test", why="fresher", now=CLOCK)
    resumed = room.train(replace(request, try_number=2))
    assert resumed["started_from"] == "champion:lstm"
    assert resumed["training_results"]["resumed_from_epoch"] == 3
