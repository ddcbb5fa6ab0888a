"""Without the real data a test is skipped on a laptop and fails in a pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import real_candles_folder, required

MISSING = r"are not at .*: set MARKET_DATA_DIR to run this test"


@pytest.mark.parametrize(
    ("ci", "outcome"),
    [
        ("true", pytest.fail.Exception),
        ("TRUE", pytest.fail.Exception),
        ("false", pytest.skip.Exception),
        ("", pytest.skip.Exception),
    ],
)
def test_missing_data_fails_a_pipeline_and_skips_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ci: str, outcome: Any
) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match=f"recorded bodies {MISSING}"):
        required(tmp_path / "binance", "recorded bodies")
    monkeypatch.setenv("MARKET_DATA_DIR", str(tmp_path))
    with pytest.raises(outcome, match=f"real candles {MISSING}"):
        real_candles_folder()


def test_data_that_are_there_are_used_whatever_runs_the_tests(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("MARKET_DATA_DIR", str(tmp_path))
    (tmp_path / "BTCUSDT_1h.csv.gz").touch()
    assert real_candles_folder() == tmp_path
