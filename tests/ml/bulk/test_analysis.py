"""The core of the analysis: what an answer says, whose failure is whose, and that order and chunks change nothing."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.errors import BadInputError
from include.market.candles import Candles
from include.market.indicators import ema, macd, rsi
from include.market.timeframes import DAY_MS
from include.ml.bulk.analysis import Analysed, Terms, analyse
from include.ml.bulk.choice import Loaded, asked_types, choose
from include.ml.bulk.failure import Failure
from include.ml.bulk.result import ranked, require_any, result_of
from include.ml.bulk.signals import HORIZON_BARS, confidence_of, indicators_of, signal_of
from include.ml.labels import QUANTILE_HORIZONS
from include.ml.light.champions import LightChampion, UnreadableChampion
from include.ml.light.forecast import Forecast, bars_needed, forecast_newest
from tests.market.series import HOUR_MS, START_MS, make_candles
from tests.ml.bulk.parts import NETWORKS, champion, random_arrays

BARS = bars_needed() + 24
NOW_MS = START_MS + BARS * HOUR_MS + 600_000
TERMS = Terms("1h", NETWORKS, NOW_MS, max_candle_age_bars=6, max_model_age_days=30.0, psi_threshold=0.2)
SYMBOLS = tuple(f"S{number}USDT" for number in range(7))
CANDLES = {symbol: make_candles(BARS, symbol=symbol, seed=number) for number, symbol in enumerate(SYMBOLS)}
FR_KEYS = ["symbol", "signal", "confidence", "predicted_price", "current_price", "expected_return", "indicators"]

_RNG = np.random.default_rng(3)
LOADED: dict[Any, LightChampion | UnreadableChampion] = {
    (model_type, symbol, "1h"): champion(model_type, symbol, random_arrays(model_type, _RNG), NOW_MS - DAY_MS)
    for symbol in SYMBOLS
    for model_type in NETWORKS
}
PRICES = {symbol: 1.01 * float(CANDLES[symbol].close[-1]) for symbol in SYMBOLS}


def run(
    symbols: Any = SYMBOLS,
    loaded: Loaded = LOADED,
    candles: Any = CANDLES,
    prices: Any = PRICES,
    troubles: Any = None,
    terms: Terms = TERMS,
) -> Analysed:
    choices, failures = choose(
        symbols, terms.timeframe, terms.model_types, loaded, terms.now_ms, terms.max_model_age_days
    )
    asked = {symbol: choice for symbol, choice in choices.items() if symbol not in failures}
    done = analyse(asked, candles, prices, troubles or {}, terms)
    done.failures |= failures
    return done


def one(symbol: str = SYMBOLS[0], **changes: Any) -> dict[str, Any]:
    return run([symbol], **changes).answers[symbol]


def failed(symbol: str = SYMBOLS[0], **changes: Any) -> Failure:
    done = run([symbol], **changes)
    assert done.answers == {}
    return done.failures[symbol]


WHOLE = run()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_results_depend_neither_on_the_order_of_the_symbols_nor_on_the_chunks(data: st.DataObject) -> None:
    order = data.draw(st.permutations(SYMBOLS))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(order) - 1))))
    merged = Analysed()
    for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True):
        merged.add(run(order[start:end]))
    assert merged.answers == WHOLE.answers
    assert ranked(merged.answers, 0.5) == ranked(WHOLE.answers, 0.5)
    assert merged.well == WHOLE.well


@pytest.mark.critical
def test_an_answer_is_the_mean_of_its_networks_with_the_specified_keys_first() -> None:
    answer, symbol = one(), SYMBOLS[0]
    candles = CANDLES[symbol]
    forecasts = forecast_newest([LOADED[kind, symbol, "1h"] for kind in NETWORKS], CANDLES)  # type: ignore[misc]
    probabilities = [f.probability_up for f in forecasts.values() if isinstance(f, Forecast)]
    at = QUANTILE_HORIZONS.index(HORIZON_BARS)
    medians = [float(f.log_return_quantiles[at, 1]) for f in forecasts.values() if isinstance(f, Forecast)]
    assert list(answer)[:7] == FR_KEYS
    assert set(answer["indicators"]) == {"rsi", "macd", "trend"}
    assert answer["probability_up"] == pytest.approx(np.mean(probabilities), abs=5e-5)
    assert answer["signal"] == signal_of(answer["probability_up"])
    assert answer["confidence"] == pytest.approx(max(answer["probability_up"], 1 - answer["probability_up"]))
    assert answer["predicted_price"] == pytest.approx(candles.close[-1] * math.exp(np.mean(medians)), rel=1e-6)
    assert answer["current_price"] == PRICES[symbol]
    assert answer["expected_return"] == answer["expected_return_pct"]
    assert answer["expected_return_pct"] == pytest.approx(
        (answer["predicted_price"] / answer["current_price"] - 1) * 100, abs=1e-4
    )
    assert [model["model_type"] for model in answer["models"]] == list(NETWORKS)
    assert {model["accuracy"] for model in answer["models"]} == {0.71}
    assert {model["age_days"] for model in answer["models"]} == {1.0}
    assert (answer["edge"], answer["note"]) == (False, "no edge shown")
    assert answer["candle_closed_at"] == datetime.fromtimestamp(START_MS / 1000 + BARS * 3600, UTC).isoformat()
    assert answer["drift"]["psi"], "a random walk of other volatility is not what the training saw"
    assert all(psi > 0.2 for psi in answer["drift"]["psi"].values())
    assert answer["drift"]["warnings"]


@pytest.mark.parametrize(
    ("probability", "signal", "confidence"),
    [(0.55, "BUY", 0.55), (0.5499, "HOLD", 0.5499), (0.4501, "HOLD", 0.5499), (0.45, "SELL", 0.55), (0.5, "HOLD", 0.5),
     (1.0, "BUY", 1.0), (0.0, "SELL", 1.0)],
)  # fmt: skip
def test_signals_begin_at_55_and_45_percent(probability: float, signal: str, confidence: float) -> None:
    assert signal_of(probability) == signal
    assert confidence_of(probability) == confidence


def test_indicators_are_those_of_the_newest_bar() -> None:
    for candles in CANDLES.values():
        found = indicators_of(candles)
        close = candles.close
        assert found["rsi"] == pytest.approx(rsi(close)[-1], abs=0.01)
        assert found["macd"] == pytest.approx(macd(close).line[-1])
        fast, slow, last = ema(close, 12)[-1], ema(close, 48)[-1], close[-1]
        expected = "bullish" if last > fast > slow else "bearish" if last < fast < slow else "neutral"
        assert found["trend"] == expected
    flat = np.full(100, 5.0)
    times = START_MS + np.arange(100, dtype=np.int64) * HOUR_MS
    still = indicators_of(Candles("S0USDT", "1h", times, flat, flat, flat, flat, flat))
    assert (still["rsi"], still["trend"]) == (50.0, "neutral")


def test_a_single_network_is_asked_alone() -> None:
    answer = one(terms=replace(TERMS, model_types=asked_types("gru")))
    assert [model["model_type"] for model in answer["models"]] == ["gru"]
    assert answer["probability_up"] == answer["models"][0]["probability_up"]


@pytest.mark.parametrize("prices", [{}, {SYMBOLS[0]: 0.0}])
def test_without_a_ticker_price_the_newest_close_stands_for_it_and_is_called_so(prices: dict[str, float]) -> None:
    answer = one(prices=prices)
    assert answer["price_source"] == "candle_close"
    assert answer["current_price"] == CANDLES[SYMBOLS[0]].close[-1]
    assert one()["price_source"] == "ticker"


def test_an_edge_is_shown_only_when_every_network_has_one() -> None:
    def with_edges(*edges: bool) -> Loaded:
        return {
            place: replace(found, record=replace(found.record, evaluation={"edge": edge}))
            for (place, found), edge in zip(list(LOADED.items())[:3], edges, strict=True)
            if isinstance(found, LightChampion)
        }

    assert one(loaded=with_edges(True, True, True))["note"] is None
    assert one(loaded=with_edges(True, False, True))["note"] == "no edge shown"


class TestEnsembles:
    """The mean of those that work; the result names the others and why."""

    def test_a_missing_an_old_and_an_unreadable_network_are_named(self) -> None:
        symbol = SYMBOLS[0]
        broken = UnreadableChampion(None, "run:gru", "Model run:gru cannot be read: damaged")
        lstm = LOADED["lstm", symbol, "1h"]
        assert isinstance(lstm, LightChampion)
        old = replace(lstm, spec=replace(lstm.spec, data_end_ms=NOW_MS - 31 * DAY_MS))
        loaded = {**LOADED, ("gru", symbol, "1h"): broken, ("lstm", symbol, "1h"): old}
        done = run([symbol], loaded=loaded)
        answer = done.answers[symbol]
        assert [model["model_type"] for model in answer["models"]] == ["transformer"]
        assert "cannot be read" in answer["models_missing"]["gru"]
        assert "31.0 days ago, more than 30" in answer["models_missing"]["lstm"]
        (fault,) = done.faults[symbol]
        assert (fault.model_id, fault.model_type, fault.symbol) == ("run:gru", "gru", symbol)

    def test_a_network_of_broken_weights_is_left_out_and_reported_while_the_others_answer_as_without_it(self) -> None:
        symbol = SYMBOLS[0]
        healthy = LOADED["lstm", symbol, "1h"]
        assert isinstance(healthy, LightChampion)
        broken = replace(healthy, arrays={**healthy.arrays, "skip/bias": np.full(1, np.nan, np.float32)})
        done = run(loaded={**LOADED, ("lstm", symbol, "1h"): broken})
        assert [fault.model_id for fault in done.faults[symbol]] == [healthy.record.id]
        assert "not numbers" in done.answers[symbol]["models_missing"]["lstm"]
        assert healthy.record.id not in done.well
        without = run(loaded={place: found for place, found in LOADED.items() if place != ("lstm", symbol, "1h")})
        assert done.answers[symbol]["probability_up"] == without.answers[symbol]["probability_up"]
        assert {s: done.answers[s] for s in SYMBOLS[1:]} == {s: WHOLE.answers[s] for s in SYMBOLS[1:]}


class TestFailures:
    """Every failure says what to do."""

    def test_no_model_names_the_run_that_trains_one(self) -> None:
        failure = failed(loaded={})
        assert failure.kind == "no model deployed"
        assert failure.reason == 'No model is deployed for S0USDT 1h: run adaptive_retrain with {"symbol": "S0USDT"}'
        single = failed(loaded={}, terms=replace(TERMS, model_types=("gru",)))
        assert 'train_model with {"model_type": "gru", "symbol": "S0USDT", "timeframe": "1h"}' in single.reason
        other = failed(loaded={}, terms=replace(TERMS, timeframe="4h"))
        assert '"timeframe": "4h"' in other.reason
        assert "train_model" in other.reason

    def test_a_stale_model_is_refused_with_its_age(self) -> None:
        failure = failed(terms=replace(TERMS, max_model_age_days=0.5))
        assert failure.kind == "model too old"
        assert "1.0 days ago, more than 0.5" in failure.reason
        assert "adaptive_retrain" in failure.reason

    def test_unreadable_models(self) -> None:
        symbol = SYMBOLS[0]
        loaded = {(kind, symbol, "1h"): UnreadableChampion(None, f"m:{kind}", "damaged") for kind in NETWORKS}
        failure = failed(loaded=loaded)
        assert failure.kind == "model unreadable"
        assert "damaged" in failure.reason

    def test_models_of_another_key_are_nobodys_fault(self) -> None:
        loaded = {("lstm", SYMBOLS[0], "1h"): UnreadableChampion(None, "m", "other key", champion_at_fault=False)}
        choices, _ = choose([SYMBOLS[0]], "1h", NETWORKS, loaded, NOW_MS, 30.0)
        assert choices[SYMBOLS[0]].faults == ()

    def test_no_candles_too_few_and_corrupt_ones(self) -> None:
        symbol = SYMBOLS[0]
        assert failed(candles={}).kind == "no candles"
        assert failed(candles={symbol: CANDLES[symbol].tail(0)}).kind == "no candles"
        few = failed(candles={symbol: CANDLES[symbol].tail(100)})
        assert few.kind == "too few candles"
        assert "found 100" in few.reason
        between = failed(candles={symbol: CANDLES[symbol].tail(200)})
        assert (between.kind, "found 200" in between.reason) == ("too few candles", True)
        corrupt = failed(candles={symbol: BadInputError("Corrupt data: ingest that range again")})
        assert (corrupt.kind, corrupt.reason) == ("corrupt candles", "Corrupt data: ingest that range again")

    def test_candles_may_be_six_bars_old_and_no_more_and_the_trouble_is_said(self) -> None:
        symbol = SYMBOLS[0]
        trouble = {symbol: Failure("no candles", "Binance is away", transient=True)}
        fresh = replace(TERMS, now_ms=START_MS + (BARS + 6) * HOUR_MS)
        assert one(terms=fresh, troubles=trouble)["symbol"] == symbol
        stale = failed(terms=replace(TERMS, now_ms=fresh.now_ms + 60_000), troubles=trouble)
        assert stale.kind == "candles too old"
        assert "Binance is away" in stale.reason
        assert stale.transient
        assert not failed(terms=replace(TERMS, now_ms=fresh.now_ms + 60_000)).transient

    def test_without_candles_the_trouble_is_the_reason(self) -> None:
        trouble = Failure("no candles", "Binance is away", transient=True)
        assert failed(candles={}, troubles={SYMBOLS[0]: trouble}) == trouble


class TestResult:
    """The document: ranked, filtered, cut, counted."""

    ASKED: dict[str, Any] = {"timeframe": "1h", "model_type": "ensemble", "min_confidence": 0.0, "top_n": 10}  # noqa: RUF012

    def document(self, answers: Any, failures: Any = None, **asked: Any) -> dict[str, Any]:
        return result_of("run", datetime.now(UTC), answers, failures or {}, {**self.ASKED, **asked}, {"trouble": None})

    def test_most_confident_first_equal_ones_by_symbol(self) -> None:
        answers = {s: {"symbol": s, "confidence": c} for s, c in (("B", 0.7), ("C", 0.9), ("A", 0.7), ("D", 0.55))}
        document = self.document(answers, min_confidence=0.7)
        assert [result["symbol"] for result in document["results"]] == ["C", "A", "B"]
        assert document["symbols_analyzed"] == 4, "the filter hides results, it does not undo the analysis"
        assert document["symbols_confident"] == 3
        cut = self.document(answers, min_confidence=0.7, top_n=1)
        assert [result["symbol"] for result in cut["results"]] == ["C"]

    def test_the_specified_keys(self) -> None:
        failures = {"X": Failure("no candles", "why"), "Y": Failure("malformed", "bad"), "Z": Failure("no candles", "")}
        document = self.document(WHOLE.answers, failures)
        assert list(document)[:7] == [
            "status", "symbols_analyzed", "timestamp", "results", "failed_symbols", "failures", "task_id",
        ]  # fmt: skip
        assert document["status"] == "success"
        assert document["failed_symbols"] == ["X", "Y", "Z"]
        assert document["failures"] == {"X": "why", "Y": "bad", "Z": ""}
        assert document["failure_counts"] == {"no candles": 2, "malformed": 1}
        assert "error" not in document

    def test_all_failed_is_a_failed_result_and_run_with_the_reasons_counted(self) -> None:
        failures = {"X": Failure("no candles", "why"), "Y": Failure("malformed", "bad"), "Z": Failure("no candles", "")}
        document = self.document({}, failures)
        assert (document["status"], document["results"]) == ("failed", [])
        assert document["error"] == "All 3 symbols failed: 2 no candles, 1 malformed; the first: why"
        with pytest.raises(BadInputError, match="All 3 symbols failed: 2 no candles, 1 malformed"):
            require_any(failures, {})
        require_any(failures, WHOLE.answers)

    def test_all_failed_while_the_exchange_is_away_may_be_tried_again(self) -> None:
        from include.errors import TransientError

        failures = {"X": Failure("no model deployed", "why"), "Y": Failure("no candles", "away", transient=True)}
        with pytest.raises(TransientError, match="All 2 symbols failed"):
            require_any(failures, {})
