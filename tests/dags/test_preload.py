"""What a worker has imported before its tasks fork off, by the kind of its tasks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ops import compose
from tests.dags.conftest import worker_environment

AS_A_WORKER = """
import json, sys, threading
from airflow.providers.celery.executors.celery_executor_utils import app

app.loader.import_default_modules()
threads, before = [thread.name for thread in threading.enumerate()], set(sys.modules)
settings_read = sys.modules["include.settings"].get_settings.cache_info().misses
from dags.wiring.strategy_operators import BacktestOperator
from include.strategies.backtest import run_backtest
from include.strategies.registry import get_strategy

get_strategy("rsi")
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print(json.dumps({
    "threads": threads, "settings_read": settings_read, "tensorflow": "tensorflow" in sys.modules,
    "new": sorted(new & {"backtesting", "bokeh", "pandas"}),
}))
"""


@pytest.mark.parametrize(
    ("service", "still_to_import"),
    [("worker-backtest", []), ("worker-analysis", ["backtesting", "bokeh", "pandas"])],
)
def test_backtests_find_imported_what_they_compute_with(
    service: str, still_to_import: list[str], tmp_path: Path
) -> None:
    said = compose.services()[service]["environment"]
    environment = {
        **worker_environment(tmp_path),
        **{name: value for name, value in said.items() if name == "TRADING_OPS_PRELOAD"},
    }
    ran = subprocess.run(
        [sys.executable, "-c", AS_A_WORKER],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout.strip().splitlines()[-1]) == {
        "threads": ["MainThread"], "settings_read": 0, "tensorflow": False, "new": still_to_import
    }  # fmt: skip
