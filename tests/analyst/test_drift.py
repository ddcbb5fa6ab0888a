"""Drift as evidence: told to the judge, and no reason to ask one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from dags.wiring.drift import drifts_of
from include.analyst.drift import ModelDrift, model_drift, unknown_drift
from include.analyst.evidence import Evidence, build_evidence, finding_key, reasons_to_analyse
from include.analyst.prompt import SHOWN_FEATURES, build_messages
from tests.analyst.evidence_parts import GOOD, evidence_of
from tests.ml.plain_models import PlainBench


def report(unusual: int, **changes: Any) -> dict[str, Any]:
    names = [f"feature_{number}" for number in range(16)]
    return {
        "psi": {name: 0.9 - number / 20 for number, name in enumerate(names)},
        "usual_psi_95": dict.fromkeys(names, 0.35),
        "drifted": names[:9], "unusual": names[:unusual], "warnings": [], "bars": 168, "threshold": 0.2, "reason": None,
        **changes,
    }  # fmt: skip


def with_drift(*drift: ModelDrift) -> Evidence:
    calm = evidence_of(GOOD)
    return build_evidence(calm.performance, calm.accuracy, calm.markets, drift)


def prompt_of(*drift: ModelDrift) -> str:
    return build_messages(with_drift(*drift))[1]["content"]


def test_the_judge_sees_what_is_unusual_and_how_much_would_be_usual() -> None:
    text = prompt_of(model_drift("lstm", "BTCUSDT", "1h", report(2)))
    assert "- LSTM (BTCUSDT 1h): 2 not usual, 9 of 16 features above 0.2: feature_0 0.90 (usual up to 0.35), " in text
    assert "feature_2" not in text


def test_a_usual_week_an_unknown_one_and_no_models_are_said_as_such() -> None:
    assert "- GRU (BTCUSDT 1h): nothing unusual (9 of 16 features above 0.2)" in prompt_of(
        model_drift("gru", "BTCUSDT", "1h", report(0))
    )
    assert "- GRU (BTCUSDT 1h): not known (train it again)" in prompt_of(
        unknown_drift("gru", "BTCUSDT", "1h", 0.2, "train it again")
    )
    assert "- no deployed models" in prompt_of()


def test_many_drifted_features_do_not_fill_the_prompt() -> None:
    text = prompt_of(model_drift("lstm", "BTCUSDT", "1h", report(9)))
    assert f"feature_{SHOWN_FEATURES - 1} " in text
    assert f"feature_{SHOWN_FEATURES} " not in text
    assert f"{9 - SHOWN_FEATURES} more" in text


def test_drift_alone_is_no_reason_to_analyse_and_no_new_finding() -> None:
    drifted = with_drift(model_drift("lstm", "BTCUSDT", "1h", report(9)))
    assert reasons_to_analyse(drifted, force=False) == ()
    assert finding_key(drifted) == finding_key(with_drift())


def test_drift_travels_with_the_evidence_and_evidence_without_it_is_still_read() -> None:
    evidence = with_drift(model_drift("lstm", "BTCUSDT", "1h", report(2)))
    carried = evidence.model_dump(mode="json")
    assert Evidence.model_validate(carried) == evidence
    del carried["drift"]
    assert Evidence.model_validate(carried).drift == ()


@pytest.mark.parametrize("stored_candles", [True, False])
def test_the_drift_of_the_configured_symbols_champions_is_measured_from_the_stored_candles(
    db: Database[dict[str, Any]], market_data_dir: Path, tmp_path: Path, stored_candles: bool
) -> None:
    bench = PlainBench(db, market_data_dir, tmp_path)
    bench.champion("with a distribution")
    old = bench.champion("of older code", model_type="gru")
    db["models"].update_one({"_id": old.id}, {"$unset": {"feature_distribution": 1}})
    if stored_candles:
        bench.candle_store.upsert(bench.candles)
    gru, lstm = drifts_of(db, ["BTCUSDT", "ETHUSDT"])
    assert (gru.model_type, lstm.model_type) == ("gru", "lstm")
    if stored_candles:
        assert (lstm.bars, lstm.compared, lstm.reason) == (168, 16, None)
        assert "trained before" in str(gru.reason)
    else:
        assert "Insufficient data" in str(lstm.reason)
    assert drifts_of(db, ["ETHUSDT"]) == []
