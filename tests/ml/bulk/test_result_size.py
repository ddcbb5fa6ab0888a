"""How large results become, and what travels between tasks."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import bson

from include.ml.bulk.failure import MAX_REASON, Failure
from include.ml.bulk.result import XCOM_BYTES, handed_on, result_of
from tests.ml.bulk.test_analysis import SYMBOLS, WHOLE

ASKED = {"timeframe": "1h", "model_type": "ensemble", "min_confidence": 0.0, "top_n": 5_000}


def document(results: int, failures: int) -> dict[str, Any]:
    pattern = {**WHOLE.answers[SYMBOLS[0]], "cached": False, "age_s": 0.0}
    answers = {name: {**pattern, "symbol": name} for name in (f"SYMBOL{n:04d}USDT" for n in range(results))}
    failed = {f"F{n}" + "X" * 90: Failure("no candles", "why " * 500) for n in range(failures)}
    return result_of("run" * 80, datetime.now(UTC), answers, failed, ASKED, {"trouble": None})


def test_5000_results_or_failures_stay_far_below_mongodbs_limit() -> None:
    for found in (document(5_000, 0), document(0, 5_000), document(2_500, 2_500)):
        assert len(bson.encode(found)) < 10 * 1024 * 1024
    assert len(Failure("no candles", "why " * 500).text) == MAX_REASON + 3


def test_a_small_result_is_handed_on_whole() -> None:
    found = document(8, 2)
    travelling = handed_on(found)
    assert travelling == {**found, "timestamp": found["timestamp"].isoformat()}
    assert len(json.dumps(travelling)) < XCOM_BYTES


def test_a_large_result_is_handed_on_by_id_and_head() -> None:
    for found in (document(5_000, 0), document(10, 5_000), document(0, 5_000)):
        travelling = handed_on(found)
        assert len(json.dumps(travelling)) < XCOM_BYTES
        assert travelling["truncated"] is True
        assert (travelling["task_id"], travelling["collection"]) == (found["task_id"], "bulk_analyses")
        assert travelling["symbols_analyzed"] == found["symbols_analyzed"]
        assert travelling["failed_symbols_count"] == len(found["failed_symbols"])
        assert travelling["results"] == found["results"][: len(travelling["results"])]
        assert bool(travelling["results"]) == bool(found["results"])
