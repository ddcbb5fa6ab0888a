"""The whole path in a process of its own: no TensorFlow is loaded on the way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from include.market.candle_store import CandleStore
from include.ml.config import MODEL_TYPES
from include.ml.light.forecast import bars_needed
from tests.conftest import REPOSITORY
from tests.ml.light.networks import perturbed, spec_of
from tests.ml.light.places import KEY, Places
from tests.ml.series import random_walk

FORECAST = """
import json, sys
from pathlib import Path
import pymongo
from include.market.candle_store import CandleStore
from include.ml.light.champions import load_champions
from include.ml.light.forecast import forecast_newest
from include.ml.light.weight_store import WeightStore
from include.ml.model_files import ModelFileStore

uri, name, key, cache = sys.argv[1:]
db = pymongo.MongoClient(uri, tz_aware=True)[name]
key = bytes.fromhex(key)
places = [(kind, "TESTUSDT", "1h") for kind in ("lstm", "gru", "transformer")]
champions = load_champions(db, WeightStore(db, key), ModelFileStore(db, key, Path(cache)), places)
forecasts = forecast_newest(list(champions.values()), {"TESTUSDT": CandleStore(db).load("TESTUSDT", "1h")})
heavy = [name for name in ("tensorflow", "keras", "pandas", "airflow") if name in sys.modules]
print(json.dumps([{k: v.probability_up for k, v in forecasts.items()}, heavy]))
"""


@pytest.mark.critical
def test_a_forecast_in_a_fresh_process_loads_no_tensorflow(places: Places, tmp_path: Path) -> None:
    CandleStore(places.db).upsert(random_walk(bars_needed(), 1))
    for model_type in MODEL_TYPES:
        network = perturbed(model_type)
        places.champion(network.arrays, spec_of(network, "TESTUSDT"))
    host, port = places.db.client.address or ("", 0)
    answer = subprocess.run(
        [sys.executable, "-c", FORECAST, f"mongodb://{host}:{port}", places.db.name, KEY.hex(), str(tmp_path)],
        cwd=REPOSITORY,
        env={"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert answer.returncode == 0, answer.stderr
    forecasts, heavy = json.loads(answer.stdout)
    assert heavy == []
    assert len(forecasts) == len(MODEL_TYPES)
    assert all(0 < probability < 1 for probability in forecasts.values())
