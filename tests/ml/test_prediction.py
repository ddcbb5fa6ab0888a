"""A question about a price: real candles, a real database, an exchange on loopback, champions with known forecasts."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from include.errors import BadInputError, IntegrityError, TransientError
from include.market.binance import BinanceClient
from include.market.timeframes import DAY_MS
from include.ml.drift import DRIFT_BARS
from include.ml.features import trailing_volatility
from include.ml.prediction.market import HOUR_MS, newest_market
from include.ml.prediction.predict import Predictor
from include.ml.prediction.question import Question, Seen
from include.settings import Settings
from include.store.result_cache import result_cache
from sandbox.mongod import Mongod
from tests.market.binance_server import Answer, FakeBinance, running_binance
from tests.ml.plain_models import NOW_MS, PlainBench, damage_weights, shared_database

REPOSITORY = Path(__file__).resolve().parents[2]
DAY = Question("BTCUSDT", "lstm", 24)


@pytest.fixture(scope="module")
def database(mongod: Mongod) -> Iterator[Database[dict[str, Any]]]:
    with shared_database(mongod) as shared:
        yield shared


class Desk:
    """Asks questions; the exchange's clock stands at 2024-06-01 00:30, candles up to 00:00 are to be had."""

    def __init__(self, bench: PlainBench, exchange: FakeBinance) -> None:
        self.bench, self.exchange, self.seen = bench, exchange, Seen()
        exchange.serve(bench.candles)
        exchange.now_ms = NOW_MS + HOUR_MS // 2

    def ask(self, question: Question = DAY, **settings: Any) -> dict[str, Any]:
        bench, configured = self.bench, Settings(**settings)
        self.seen = Seen()

        def market(symbol: str) -> Any:
            with BinanceClient(self.exchange.url, max_attempts=2, sleep=lambda _: None) as client:
                return newest_market(client, bench.candle_store, symbol)

        cache = result_cache(bench.db, configured)
        predictor = Predictor(bench.db, bench.weights, bench.files, cache, market, configured)
        answer = predictor.predict(question, "run-1", self.seen)
        travelled: dict[str, Any] = json.loads(json.dumps(answer, allow_nan=False))
        return travelled


@pytest.fixture
def desk(database: Database[dict[str, Any]], market_data_dir: Path, tmp_path: Path) -> Iterator[Desk]:
    with running_binance() as exchange:
        yield Desk(PlainBench(database, market_data_dir, tmp_path / "cache"), exchange)


@pytest.mark.critical
def test_tc_async_013_24_hours_are_24_prices_with_falling_confidence(desk: Desk) -> None:
    record = desk.bench.champion("first", median=0.1)
    answer = desk.ask()
    path = answer["predictions"]
    assert (answer["status"], answer["model_type"], answer["horizon_hours"]) == ("success", "lstm", 24)
    assert [point["hour"] for point in path] == list(range(1, 25))
    confidences = [point["confidence"] for point in path]
    assert confidences == sorted(set(confidences), reverse=True)
    assert all(point["price_low"] < point["predicted_price"] < point["price_high"] for point in path)
    close, volatility = desk.bench.candles.close[-1], trailing_volatility(desk.bench.candles.close)[-1]
    assert answer["current_price"] == close
    assert answer["current_price_time"].startswith("2024-06-01T00:00:00")
    assert path[7]["predicted_price"] == pytest.approx(close * math.exp(0.1 * volatility * math.sqrt(8)), rel=1e-6)
    assert path[23]["price_low"] == pytest.approx(close * math.exp(-0.9 * volatility * math.sqrt(24)), rel=1e-6)
    assert datetime.fromisoformat(path[0]["time"]).isoformat() == "2024-06-01T01:00:00+00:00"
    assert desk.seen.well == [record.id]


def test_tc_async_013_the_answer_says_who_made_it_and_how_far_to_trust_it(desk: Desk) -> None:
    record = desk.bench.champion("first", days_old=3.0, skill=-0.01)
    answer = desk.ask()
    assert (answer["model_id"], answer["champion_version"]) == (record.id, 1)
    assert answer["model_age_days"] == pytest.approx(3 + 0.5 / 24, abs=1e-3)
    assert answer["holdout"]["accuracy"] == pytest.approx(0.69)
    assert answer["holdout"]["baseline_accuracy"] == 0.70
    assert answer["edge"] == "no edge shown"
    assert answer["band_coverage_pct"] == {"1": 80.0, "24": 78.5}
    assert answer["drift"]["bars"] == DRIFT_BARS
    assert answer["drift"]["psi"]
    assert "within 1 %" in answer["confidence_means"]


def test_missing_candles_are_fetched_and_a_second_question_asks_only_for_the_time(desk: Desk) -> None:
    desk.bench.champion("first")
    assert desk.bench.candle_store.last_open_time("BTCUSDT", "1h") is None
    desk.ask(prediction_cache_ttl_s=0)
    assert desk.bench.candle_store.last_open_time("BTCUSDT", "1h") == NOW_MS - HOUR_MS
    before = len(desk.exchange.requests)
    desk.ask(prediction_cache_ttl_s=0)
    assert [path for path, _ in desk.exchange.requests[before:]] == ["/api/v3/time"]


def test_a_candle_that_has_closed_since_is_fetched_and_forecast_from(desk: Desk) -> None:
    desk.bench.champion("first")
    desk.bench.candle_store.upsert(desk.bench.candles.between(end_ms=NOW_MS - HOUR_MS))
    assert desk.ask()["current_price_time"].startswith("2024-06-01T00:00:00")
    assert [asked["startTime"] for asked in desk.exchange.asked("/api/v3/klines")] == [str(NOW_MS - HOUR_MS)]


def test_an_answer_is_cached_for_every_horizon_until_another_champion_is_deployed(desk: Desk) -> None:
    desk.bench.champion("first")
    fresh = desk.ask()
    before = len(desk.exchange.requests)
    longer = desk.ask(Question("BTCUSDT", "lstm", 48))
    assert len(desk.exchange.requests) == before
    assert (fresh["cached"], longer["cached"], longer["horizon_hours"]) == (False, True, 48)
    assert longer["predictions"][:24] == fresh["predictions"]
    assert len(longer["predictions"]) == 48
    second = desk.bench.champion("second")
    answer = desk.ask()
    assert (answer["cached"], answer["model_id"]) == (False, second.id)
    desk.bench.db["result_cache"].update_many({}, {"$set": {"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}})
    assert desk.ask()["cached"] is False


def test_without_a_champion_the_error_says_how_to_train_one(desk: Desk) -> None:
    with pytest.raises(BadInputError, match=r"no deployed gru model of ETHUSDT 1h: train it.*\"model_type\": \"gru\""):
        desk.ask(Question("ETHUSDT", "gru", 24))
    with pytest.raises(BadInputError, match="no deployed lstm or gru or transformer model"):
        desk.ask(Question("ETHUSDT", "best", 24))


def test_a_champion_that_is_too_old_is_refused_with_the_advice_to_train(desk: Desk) -> None:
    record = desk.bench.champion("first", days_old=29.9)
    assert desk.ask()["model_id"] == record.id
    record = desk.bench.champion("second", days_old=30.0)
    with pytest.raises(BadInputError, match=r"30\.0 days old, forecasts are refused beyond 30: train it.*train_model"):
        desk.ask()
    assert (desk.seen.failures, desk.seen.well) == ([], [])
    assert desk.ask(max_model_age_days=31)["model_id"] == record.id


def test_damaged_weights_are_the_champions_failure(desk: Desk) -> None:
    record = desk.bench.champion("first")
    damage_weights(desk.bench.db, record)
    with pytest.raises(IntegrityError, match=record.id):
        desk.ask()
    assert [(failure.model_id, failure.champion_id) for failure in desk.seen.failures] == [
        (record.id, "lstm:BTCUSDT:1h")
    ]


@pytest.mark.parametrize("median", [math.nan, 1e6])
def test_a_forecast_that_is_no_price_is_the_champions_failure_and_is_not_cached(desk: Desk, median: float) -> None:
    record = desk.bench.champion("first", median=median)
    with pytest.raises(IntegrityError, match=r"not numbers|beyond what a price can do"):
        desk.ask()
    assert [failure.model_id for failure in desk.seen.failures] == [record.id]
    assert desk.bench.db["result_cache"].count_documents({}) == 0


def test_the_exchange_away_is_tried_again_later_but_a_cached_answer_is_given(desk: Desk) -> None:
    desk.bench.champion("first")
    desk.ask()
    desk.exchange.answer_next("/api/v3/time", *[Answer(503, "away", "text/plain")] * 2)
    assert desk.ask()["cached"] is True
    with pytest.raises(TransientError, match="no answer to GET /api/v3/time"):
        desk.ask(prediction_cache_ttl_s=0)
    assert desk.seen.failures == []


def test_candles_that_stay_away_are_no_ground_for_a_forecast(desk: Desk) -> None:
    desk.bench.champion("first")
    desk.exchange.now_ms = NOW_MS + 2 * HOUR_MS
    with pytest.raises(TransientError, match=r"closed at 2024-06-01T00:00:00.*halted"):
        desk.ask()
    desk.exchange.now_ms = NOW_MS + HOUR_MS
    assert desk.ask()["current_price_time"].startswith("2024-06-01T00:00:00")


def test_too_short_a_history_is_refused_with_the_numbers(desk: Desk) -> None:
    desk.bench.champion("first")
    desk.exchange.serve(desk.bench.candles.tail(200))
    with pytest.raises(BadInputError, match=r"Insufficient data: a forecast needs 228 candles.*found 200"):
        desk.ask()
    assert desk.seen.failures == []


def test_corrupt_stored_candles_are_fetched_again(desk: Desk) -> None:
    desk.bench.champion("first")
    expected = desk.ask(prediction_cache_ttl_s=0)["predictions"]
    broken = {"open_time": NOW_MS - 3 * DAY_MS}
    assert desk.bench.db["candles"].update_one(broken, {"$set": {"close": math.nan}}).modified_count
    assert desk.ask(prediction_cache_ttl_s=0)["predictions"] == expected


def test_the_best_is_the_most_skilful_and_a_broken_one_is_passed_over_and_named(desk: Desk) -> None:
    lstm = desk.bench.champion("lstm run", skill=0.01)
    gru = desk.bench.champion("gru run", model_type="gru", skill=0.03)
    best = Question("BTCUSDT", "best", 24)
    answer = desk.ask(best)
    assert (answer["model_id"], answer["asked_model_type"], answer["not_used"]) == (gru.id, "best", {})
    damage_weights(desk.bench.db, gru)
    answer = desk.ask(best)
    assert answer["model_id"] == lstm.id
    assert gru.id in answer["not_used"][gru.id]
    assert [failure.model_id for failure in desk.seen.failures] == [gru.id]


def test_a_prediction_needs_no_tensorflow() -> None:
    code = "import sys, include.ml.prediction.predict, include.ml.prediction.market; print('tensorflow' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
