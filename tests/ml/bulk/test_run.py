"""A whole run against a real MongoDB and an HTTP server that answers like Binance."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymongo.database import Database

from include.market.binance import BinanceClient
from include.market.candle_store import CandleStore
from include.market.timeframes import DAY_MS
from include.ml.bulk.analysis import Analysed, Terms
from include.ml.bulk.exchange import Exchange
from include.ml.bulk.run import CHUNK, Bench, chunks, run_analysis
from include.ml.encryption import KEY_BYTES
from include.ml.light.forecast import bars_needed
from include.ml.light.weight_store import WeightStore
from include.ml.model_files import ModelFileStore
from include.store.collections import CANDLES, CHAMPIONS, MODEL_WEIGHTS, MODELS, RESULT_CACHE
from include.store.result_cache import MongoCache
from sandbox.mongod import Mongod
from tests.market.binance_server import FakeBinance, running_binance
from tests.market.series import HOUR_MS, START_MS, make_candles
from tests.ml.bulk.parts import NETWORKS, deploy
from tests.ml.plain_models import shared_database

Db = Database[dict[str, Any]]
KEY = bytes(range(KEY_BYTES))
KLINES, PRICES = "/api/v3/klines", "/api/v3/ticker/price"
BARS = bars_needed() + 40
END_MS = START_MS + BARS * HOUR_MS
SYMBOLS = [f"S{number}USDT" for number in range(6)]


@pytest.fixture(scope="module")
def shared(mongod: Mongod) -> Iterator[Db]:
    with shared_database(mongod) as db:
        yield db


@pytest.fixture
def db(shared: Db) -> Db:
    for name in (CANDLES, CHAMPIONS, MODELS, MODEL_WEIGHTS, RESULT_CACHE, "deployments"):
        shared[name].delete_many({})
    return shared


@pytest.fixture(scope="module")
def server() -> Iterator[FakeBinance]:
    with running_binance() as server:
        for number, symbol in enumerate(SYMBOLS):
            server.serve(make_candles(BARS + 5, symbol=symbol, seed=number))
        yield server


@pytest.fixture
def binance(server: FakeBinance) -> FakeBinance:
    server.now_ms = END_MS + 600_000
    server.prices = dict.fromkeys(SYMBOLS, "41000.50000000")
    server.away.clear()
    server.requests.clear()
    return server


class Runner:
    """Runs the analysis of some symbols as the task does, each time with a client and a cache of its own."""

    def __init__(self, db: Db, binance: FakeBinance, folder: Path) -> None:
        self.db, self.binance, self.folder = db, binance, folder
        self.progress: list[tuple[int, int]] = []
        self.exchange: Exchange | None = None

    def __call__(self, symbols: list[str] = SYMBOLS, *, ttl_s: int = 300, **terms: Any) -> Analysed:
        self.progress.clear()
        self.binance.requests.clear()
        store = CandleStore(self.db)
        with BinanceClient(self.binance.url, max_attempts=2, sleep=lambda _: None) as client:
            self.exchange = Exchange(
                client, store, concurrency=4, weight_per_minute=3000, local_clock=lambda: self.binance.now_ms / 1000
            )
            values: dict[str, Any] = {
                "timeframe": "1h", "model_types": NETWORKS, "now_ms": self.exchange.now_ms, "max_candle_age_bars": 6,
                "max_model_age_days": 30.0, "psi_threshold": 0.2, **terms,
            }  # fmt: skip
            bench = Bench(
                self.db, WeightStore(self.db, KEY), ModelFileStore(self.db, KEY, self.folder), store, self.exchange,
                MongoCache(self.db), ttl_s,
            )  # fmt: skip
            return run_analysis(
                symbols, Terms(**values), bench, lambda percent, more: self.progress.append((percent, more["current"]))
            )

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.binance.requests]


@pytest.fixture
def run(db: Db, binance: FakeBinance, tmp_path: Path) -> Runner:
    return Runner(db, binance, tmp_path)


def bare(answers: dict[str, Any]) -> dict[str, Any]:
    """Return answers without what tells a cached one."""
    return {s: {k: v for k, v in a.items() if k not in {"cached", "age_s"}} for s, a in answers.items()}


@pytest.mark.critical
def test_a_first_run_fetches_candles_once_and_prices_with_one_question(run: Runner, db: Db) -> None:
    deploy(db, KEY, SYMBOLS, END_MS - DAY_MS)
    done = run()
    assert list(done.answers) == SYMBOLS
    assert done.failures == {}
    assert {len(answer["models"]) for answer in done.answers.values()} == {3}
    assert {answer["current_price"] for answer in done.answers.values()} == {41000.5}
    assert all(answer["cached"] is False for answer in done.answers.values())
    assert sorted(run.paths) == ["/api/v3/klines"] * 6 + [PRICES, "/api/v3/time"]
    assert run.progress[-1] == (100, 6)
    assert len(done.well) == 18
    again = run(ttl_s=0)
    assert sorted(run.paths) == [PRICES, "/api/v3/time"], "the candles are in the store now"
    assert bare(again.answers) == bare(done.answers)


def test_answers_come_from_the_cache_while_the_same_models_are_deployed(
    run: Runner, db: Db, binance: FakeBinance
) -> None:
    deploy(db, KEY, SYMBOLS, END_MS - DAY_MS)
    first = run()
    binance.now_ms += 30_000
    cached = run(list(reversed(SYMBOLS)))
    assert run.paths == ["/api/v3/time"]
    assert run.exchange is not None
    assert run.exchange.describe()["prices"] == "not asked"
    assert {(answer["cached"], answer["age_s"]) for answer in cached.answers.values()} == {(True, 30.0)}
    assert bare(cached.answers) == bare(first.answers)
    deploy(db, KEY, SYMBOLS[:1], END_MS - DAY_MS, model_types=["gru"], seed=99)
    after = run()
    assert [symbol for symbol, answer in after.answers.items() if not answer["cached"]] == SYMBOLS[:1]
    assert after.answers[SYMBOLS[0]]["probability_up"] != first.answers[SYMBOLS[0]]["probability_up"]
    other = run(model_types=("gru",))
    assert not any(answer["cached"] for answer in other.answers.values()), "another question"
    binance.now_ms += 300_000
    assert not any(answer["cached"] for answer in run().answers.values()), "five minutes of the exchange's clock"


def test_a_symbol_without_data_model_or_exchange_fails_alone_and_is_not_fetched(
    run: Runner, db: Db, binance: FakeBinance
) -> None:
    deploy(db, KEY, [*SYMBOLS[:3], "EMPTYUSDT", "GONEUSDT"], END_MS - DAY_MS)
    deploy(db, KEY, [SYMBOLS[4]], END_MS - 40 * DAY_MS, seed=2)
    binance.prices["EMPTYUSDT"] = "0.00000000"
    binance.rows["EMPTYUSDT", "1h"] = []
    store = CandleStore(db)
    store.upsert(make_candles(BARS, symbol=SYMBOLS[2], seed=2))
    db.candles.update_one({"symbol": SYMBOLS[2], "open_time": END_MS - 9 * HOUR_MS}, {"$set": {"low": -1.0}})
    asked = [*SYMBOLS[:5], "EMPTYUSDT", "GONEUSDT"]
    done = run(asked)
    kinds = {symbol: failure.kind for symbol, failure in done.failures.items()}
    assert list(done.answers) == SYMBOLS[:2]
    assert kinds == {
        SYMBOLS[2]: "corrupt candles", SYMBOLS[3]: "no model deployed", SYMBOLS[4]: "model too old",
        "EMPTYUSDT": "no candles", "GONEUSDT": "unknown to Binance",
    }  # fmt: skip
    fetched = {question["symbol"] for question in binance.asked(KLINES)}
    assert fetched == {*SYMBOLS[:2], "EMPTYUSDT"}
    assert "Invalid symbol: GONEUSDT" in done.failures["GONEUSDT"].reason


def test_while_the_exchange_is_away_fresh_stored_candles_are_enough(run: Runner, db: Db, binance: FakeBinance) -> None:
    deploy(db, KEY, SYMBOLS[:3], END_MS - DAY_MS)
    store = CandleStore(db)
    store.upsert(make_candles(BARS + 5, symbol=SYMBOLS[0], seed=0).between(end_ms=END_MS - 3 * HOUR_MS))
    store.upsert(make_candles(BARS + 5, symbol=SYMBOLS[1], seed=1).between(end_ms=END_MS - 10 * HOUR_MS))
    binance.away |= {"/api/v3/time", PRICES, KLINES}
    done = run(SYMBOLS[:3])
    answer = done.answers[SYMBOLS[0]]
    assert list(done.answers) == SYMBOLS[:1]
    assert answer["price_source"] == "candle_close"
    assert {s: (f.kind, f.transient) for s, f in done.failures.items()} == {
        SYMBOLS[1]: ("candles too old", True),
        SYMBOLS[2]: ("no candles", True),
    }
    assert run.exchange is not None
    told = run.exchange.describe()
    assert (told["clock"], told["prices"]) == ("this host", "newest close")
    assert "503" in told["trouble"]
    assert set(run.paths) == {"/api/v3/time"}, "one question in vain is enough"


def test_prices_that_fail_later_do_not_stop_the_candles_in_the_store(run: Runner, db: Db, binance: FakeBinance) -> None:
    deploy(db, KEY, SYMBOLS[:1], END_MS - DAY_MS)
    run(SYMBOLS[:1], ttl_s=0)
    binance.away.add(PRICES)
    done = run(SYMBOLS[:1], ttl_s=0)
    assert done.answers[SYMBOLS[0]]["price_source"] == "candle_close"
    assert KLINES not in run.paths


def test_a_killed_run_finds_its_finished_parts_in_the_cache(
    run: Runner, db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(db, KEY, SYMBOLS, END_MS - DAY_MS)

    class Progress(list[Any]):
        def append(self, told: tuple[int, int]) -> None:
            if told[1] == 4:
                raise KeyboardInterrupt
            super().append(told)

    monkeypatch.setattr(run, "progress", Progress())
    with pytest.raises(KeyboardInterrupt):
        run()
    monkeypatch.setattr(run, "progress", [])
    done = run()
    assert [symbol for symbol, answer in done.answers.items() if answer["cached"]] == SYMBOLS[:4]
    assert {question["symbol"] for question in run.binance.asked(KLINES)} == set(SYMBOLS[4:])
    assert len(done.answers) == 6


def test_damaged_weights_are_reported_left_out_and_never_cached(run: Runner, db: Db) -> None:
    deploy(db, KEY, SYMBOLS[:2], END_MS - DAY_MS)
    name = f"gru_{SYMBOLS[0]}_1h_20251122_143022.keras"
    db[MODEL_WEIGHTS].update_one({"_id": name}, {"$set": {"blob": b"x" * 100}})
    for _ in range(2):  # the second run notices it, too
        done = run(SYMBOLS[:2])
        (fault,) = done.faults[SYMBOLS[0]]
        assert (fault.model_type, fault.symbol) == ("gru", SYMBOLS[0])
        assert [model["model_type"] for model in done.answers[SYMBOLS[0]]["models"]] == ["lstm", "transformer"]
        assert "gru" in done.answers[SYMBOLS[0]]["models_missing"]
    assert done.answers[SYMBOLS[1]]["cached"] is True


def test_weights_that_answer_no_numbers_count_against_the_champion(run: Runner, db: Db) -> None:
    deploy(db, KEY, SYMBOLS[:1], END_MS - DAY_MS, model_types=["lstm"], biased=np.nan)
    done = run(SYMBOLS[:1], model_types=("lstm",))
    assert done.failures[SYMBOLS[0]].kind == "no forecast"
    assert "train_model" in done.failures[SYMBOLS[0]].reason
    assert len(done.faults[SYMBOLS[0]]) == 1
    assert done.well == set()


@pytest.mark.parametrize(("count", "size"), [(1, 1), (8, 1), (55, 5), (100, 10), (999, 99), (1_000, 100), (5_000, 100)])
def test_chunks_are_a_tenth_and_a_hundred_at_most(count: int, size: int) -> None:
    symbols = [str(number) for number in range(count)]
    parts = list(chunks(symbols))
    assert [symbol for part in parts for symbol in part] == symbols
    assert max(map(len, parts)) == size <= CHUNK


def test_progress_is_told_at_least_every_ten_percent(run: Runner, binance: FakeBinance) -> None:
    for count in (1, 3, 9, 10, 11, 55, 250):
        run([f"NO{number}USDT" for number in range(count)])
        percents = [percent for percent, _ in run.progress]
        assert percents[0] == 0
        assert run.progress[-1] == (100, count)
        steps = [after - before for before, after in pairwise(percents)]
        assert max(steps) <= max(10, -(-100 // count))
        assert len(percents) <= 21
