"""`bulk_analysis` as Airflow runs it: models in the real registry, candles and prices from the exchange's stand-in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from include.ml.encryption import model_key
from include.store import collections
from ops.client import AirflowApiError
from tests.chain.conftest import Bundle, RunView
from tests.ml.bulk.parts import deploy

pytestmark = pytest.mark.slow

DAG = "bulk_analysis"
DAY_MS = 86_400_000
KLINES = "/api/v3/klines"
FIFTY = [f"SYMBOL{number}USDT" for number in range(50)]
TEN = [
    "BTCUSDT", "ETHUSDT", "INVALID1", "BNBUSDT", "INVALID2", "ADAUSDT", "SOLUSDT", "DOTUSDT", "MATICUSDT", "AVAXUSDT",
]  # fmt: skip
EIGHT = [symbol for symbol in TEN if not symbol.startswith("INVALID")]
MADE = (collections.MODELS, collections.CHAMPIONS, collections.MODEL_WEIGHTS, collections.DEPLOYMENTS)


@dataclass(frozen=True)
class Finished:
    """The runs of this module, which were started together, and what the exchange was asked meanwhile."""

    runs: dict[str, RunView]
    fetched: set[str]
    price_questions: int


@pytest.fixture(scope="module")
def finished(environment: Bundle) -> Iterator[Finished]:
    """Deploy models for 58 symbols, let the runs end, and remove the models again: others want an empty registry."""
    environment.control.reset()
    traded = environment.control.data()["symbols"]
    more = [symbol for symbol in (*FIFTY, *EIGHT) if symbol not in traded]
    environment.control.list_symbols(**{name: traded[at % len(traded)] for at, name in enumerate(more)})
    before = {name: set(environment.db[name].distinct("_id")) for name in MADE}
    key, end_ms = model_key(environment.settings), environment.control.data()["now_ms"] - DAY_MS
    deploy(environment.db, key, FIFTY, end_ms, biased=2.0)
    deploy(environment.db, key, EIGHT, end_ms, timeframe="4h", seed=2)  # of 4h, since other tests deploy 1h models
    confs: dict[str, Any] = {
        "50 symbols": {"symbols": FIFTY, "min_confidence": 0.7},
        "10 symbols": {"symbols": TEN, "timeframe": "4h", "min_confidence": 0.5},
        "all fail": {"symbols": ["INVALID1, BTC-USD", "SYMBOL0USDT"], "timeframe": "15m"},
    }
    try:
        started = {name: environment.start(DAG, conf) for name, conf in confs.items()}
        runs = {name: environment.finish(DAG, run_id, timeout_s=120) for name, run_id in started.items()}
        asked = environment.control.requests("binance")
        # Everything of the 50 is in the cache by now.
        environment.control.script("binance", KLINES, status=500)
        cached = environment.start(DAG, {"symbols": [symbol.lower() for symbol in FIFTY] * 2, "top_n": 50})
        runs["cached"] = environment.finish(DAG, cached, timeout_s=120)
        yield Finished(
            runs,
            {request["query"]["symbol"] for request in asked if request["path"] == KLINES},
            sum(request["path"] == "/api/v3/ticker/price" for request in asked),
        )
    finally:
        environment.control.reset()
        for name in MADE:
            environment.db[name].delete_many({"_id": {"$nin": list(before[name])}, **_ours(name)})
        environment.db[collections.RESULT_CACHE].delete_many({})


def _ours(collection: str) -> dict[str, Any]:
    """Match what `deploy` made, and nothing that another run may have made meanwhile."""
    if collection == collections.MODELS:
        return {"_id": {"$regex": "^(made|copy)"}}
    if collection == collections.MODEL_WEIGHTS:
        return {"_id": {"$regex": "_20251122_143022.keras$"}}
    return {"$or": [{"model_id": {"$regex": "^(made|copy)"}}, {"to_model_id": {"$regex": "^(made|copy)"}}]}


def result_of(bundle: Bundle, run: RunView) -> dict[str, Any]:
    stored = bundle.db[collections.BULK_ANALYSES].find_one({"_id": run.run_id})
    assert stored is not None, run.story
    return stored


def test_tc_async_011_fifty_symbols_are_analysed_and_ranked(bundle: Bundle, finished: Finished) -> None:
    run = finished.runs["50 symbols"]
    assert run.state == "success", run.story
    result = run.xcom("analyse")
    confidences = [answer["confidence"] for answer in result["results"]]
    assert result["status"] == "success"
    assert result["symbols_analyzed"] == 50
    assert result["failed_symbols"] == []
    assert confidences == sorted(confidences, reverse=True)
    assert confidences[0] >= 0.70
    assert min(confidences) >= 0.70
    assert len(confidences) <= 10
    for answer in result["results"]:
        assert {"symbol", "signal", "confidence", "predicted_price", "current_price", "expected_return"} <= set(answer)
        assert set(answer["indicators"]) == {"rsi", "macd", "trend"}
        assert [model["model_type"] for model in answer["models"]] == ["lstm", "gru", "transformer"]
        assert answer["price_source"] == "ticker"
        assert answer["note"] == "no edge shown"
    stored = result_of(bundle, run)
    assert stored["results"] == result["results"]
    assert set(FIFTY) <= finished.fetched
    assert run.tasks == {"admit": "success", "analyse": "success"}
    progress = bundle.client.state_store(DAG, run.run_id, "analyse", "progress")
    assert (progress["percent"], progress["current"], progress["total"]) == (100, 50, 50)


def test_tc_async_012_two_invalid_symbols_of_ten_fail_alone(bundle: Bundle, finished: Finished) -> None:
    run = finished.runs["10 symbols"]
    assert run.state == "success", run.story
    result = run.xcom("analyse")
    assert result["status"] == "success"
    assert result["symbols_analyzed"] == 8
    assert result["failed_symbols"] == ["INVALID1", "INVALID2"]
    assert {answer["symbol"] for answer in result["results"]} == set(EIGHT)
    assert len(result["results"]) == 8
    assert "Invalid symbol: INVALID1 is not traded on Binance" in result["failures"]["INVALID1"]
    assert result_of(bundle, run)["failure_counts"] == {"unknown to Binance": 2}
    assert not finished.fetched & {"INVALID1", "INVALID2"}


def test_prices_cost_one_question_a_run_however_many_symbols(finished: Finished) -> None:
    assert finished.price_questions == 3


def test_answers_of_the_last_five_minutes_are_given_again_without_the_exchange(
    bundle: Bundle, finished: Finished
) -> None:
    run = finished.runs["cached"]
    assert run.state == "success", run.story
    stored, first = result_of(bundle, run), result_of(bundle, finished.runs["50 symbols"])
    assert stored["symbols_requested"] == stored["symbols_cached"] == 50, "each symbol once"
    assert all(answer["cached"] and answer["age_s"] >= 0 for answer in stored["results"])
    numbers = {answer["symbol"]: answer["probability_up"] for answer in stored["results"]}
    assert {answer["symbol"]: answer["probability_up"] for answer in first["results"]}.items() <= numbers.items()
    travelled = run.xcom("analyse")
    assert travelled["symbols_analyzed"] == 50
    assert travelled["results"] == stored["results"][: len(travelled["results"])]


def test_a_run_whose_every_symbol_fails_is_failed_after_its_result_is_stored(
    bundle: Bundle, finished: Finished
) -> None:
    run = finished.runs["all fail"]
    assert run.state == "failed", run.story
    assert run.tries["analyse"] == 1, "trying again cannot help"
    stored = result_of(bundle, run)
    assert (stored["status"], stored["results"], stored["symbols_analyzed"]) == ("failed", [], 0)
    assert stored["failed_symbols"] == ["INVALID1", "BTC-USD", "SYMBOL0USDT"]
    assert "train_model" in stored["failures"]["SYMBOL0USDT"]
    (message,) = bundle.messages(run.run_id)
    assert "All 3 symbols failed" in message["body"]


@pytest.mark.parametrize("conf", [{"symbols": []}, {"symbols": ["BTCUSDT"], "top_n": 0}, {"min_confidence": 1.5}])
def test_wrong_parameters_are_refused_at_the_door(bundle: Bundle, conf: dict[str, Any]) -> None:
    with pytest.raises(AirflowApiError) as refused:
        bundle.start(DAG, conf)
    assert refused.value.status == 400
