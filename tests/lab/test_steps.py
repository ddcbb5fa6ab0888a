"""The steps of the laboratory's DAGs where a whole run is not needed to see them: admission, gaps, MongoDB away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dags.wiring.retry import COUNT_KEY
from dags.wiring.runtime import database
from dags.wiring.strategy_lab import PROGRESS_KEY, admit, forget, keep_result, load_candles, progress, stored_candles
from include.errors import BadInputError, FencedError, ServiceUnavailableError
from include.settings import get_settings
from include.store.collections import BACKTEST_RESULTS, OPTIMIZATION_VARIATIONS
from include.store.spool import Spool
from include.strategies.optimise.memory_store import MongoMemory
from include.strategies.reports import ReportStore
from include.tasks_api.params.backtest_strategy import BacktestStrategyParams
from include.tasks_api.params.base import parse_params
from include.tasks_api.strategy_request import CandleDemand, backtest_demand
from sandbox.control import Control
from sandbox.launcher import Sandbox
from sandbox.mongod import Mongod, free_port

# The steps open a client each and leave it to the end of their process.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

DAG = "backtest_strategy"
DOCUMENT: dict[str, Any] = {"status": "success", "results": {"win_rate": 50.0}, "trades": [{"pnl_usdt": 1.0}] * 3}
PAGES = {"report": "<html>drawn</html>", "trades.csv": "pnl_usdt\n1.0\n"}


class TaskInstance:
    """What the steps ask of their task instance."""

    dag_id, run_id = DAG, "run-1"

    def __init__(self, try_number: int) -> None:
        self.try_number = try_number


class StateStore(dict[str, Any]):
    """A task state store of one process."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value


def context(try_number: int = 1, *, retried: bool = False) -> dict[str, Any]:
    store = StateStore({COUNT_KEY: 3} if retried else {})
    return {"ti": TaskInstance(try_number), "run_id": "run-1", "dag_run": None, "task_state_store": store}


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("TRADING_OPS_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("TRADING_OPS_MONGO_DATABASE", "lab_steps")
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.fixture
def mongo(monkeypatch: pytest.MonkeyPatch, mongod: Mongod) -> Iterator[Any]:
    connection = {"conn_type": "mongo", "host": "127.0.0.1", "port": mongod.port}
    monkeypatch.setenv("AIRFLOW_CONN_MONGO_DEFAULT", json.dumps(connection))
    db = database()
    yield db
    db.client.drop_database(db.name)
    db.client.close()


@pytest.fixture
def mongo_away(monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {"serverSelectionTimeoutMS": 200}
    connection = {"conn_type": "mongo", "host": "127.0.0.1", "port": free_port(), "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_MONGO_DEFAULT", json.dumps(connection))


@pytest.fixture
def exchange(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, control: Control) -> Control:
    monkeypatch.setenv("TRADING_OPS_BINANCE_BASE_URL", sandbox.env["TRADING_OPS_BINANCE_BASE_URL"])
    get_settings.cache_clear()
    return control


def today(exchange: Control) -> date:
    return datetime.fromtimestamp(exchange.data()["now_ms"] / 1000, UTC).date()


def demand(start: date, end: date, **more: Any) -> CandleDemand:
    return backtest_demand(
        parse_params(BacktestStrategyParams, {"start_date": str(start), "end_date": str(end), **more})
    )


def keep(try_number: int = 1, *, retried: bool = False, pages: dict[str, str] = PAGES) -> dict[str, Any]:
    return keep_result(context(try_number, retried=retried), BACKTEST_RESULTS, DOCUMENT, pages, ("trades",))


def test_a_period_that_ends_with_today_is_admitted_and_one_that_ends_tomorrow_is_not(exchange: Control) -> None:
    now = today(exchange)
    assert admit(demand(now - timedelta(days=30), now)) == {"symbol": "BTCUSDT", "timeframe": "1h", "candles": 720}
    with pytest.raises(BadInputError, match=rf"end_date must not lie in the future: .* it is {now}"):
        admit(demand(now - timedelta(days=30), now + timedelta(days=1)))
    with pytest.raises(BadInputError, match=r"^Invalid trading symbol\. Invalid symbol: NOPEUSDT"):
        admit(demand(now - timedelta(days=30), now, symbol="NOPEUSDT"))
    assert not exchange.requests("binance", "/api/v3/klines")


def test_missing_candles_are_fetched_once_with_those_before_the_period(exchange: Control, mongo: Any) -> None:
    wanted = demand(today(exchange) - timedelta(days=40), today(exchange) - timedelta(days=30), symbol="ETHUSDT")
    found = load_candles(wanted)
    assert (found["expected"], found["present"], found["warm_up"], found["fetched"]) == (240, 240, 150, 390)
    assert len(stored_candles(wanted)) == 390
    assert load_candles(wanted)["fetched"] == 0


def test_the_missing_hour_of_the_real_candles_is_reported_and_not_refused(
    exchange: Control, mongo: Any, market_data_dir: Path
) -> None:
    outage = date(2023, 3, 24) + timedelta(weeks=exchange.data()["shift_weeks"])
    found = load_candles(demand(outage, outage + timedelta(days=1)))
    assert (found["expected"], found["present"], found["gaps_count"]) == (24, 23, 1)
    assert found["gaps"][0]["start"] == f"{outage}T13:00:00+00:00"


def test_a_period_in_which_the_symbol_was_not_traded_is_refused(exchange: Control, mongo: Any) -> None:
    with pytest.raises(BadInputError, match=r"Insufficient data: expected at least 17 candles, found 0 of BTCUSDT 1h"):
        load_candles(demand(date(2018, 1, 1), date(2018, 3, 1)))


def test_result_and_pages_are_kept_and_the_answer_says_where(mongo: Any) -> None:
    answer = keep()
    stored = mongo[BACKTEST_RESULTS].find_one({"_id": "run-1"})
    assert (stored["task_id"], len(stored["trades"]), stored["reports_missing"]) == ("run-1", 3, None)
    assert answer["reports"] == stored["reports"]
    assert set(answer["reports"]) == set(PAGES)
    assert answer["reports"]["report"]["url"].endswith("/strategy-reports/backtest_strategy/run-1/report")
    assert answer["not_in_xcom"] == {"trades": 3}
    assert ReportStore(mongo).names(DAG, "run-1") == ["report", "trades.csv"]


def test_an_older_try_keeps_neither_result_nor_page(mongo: Any) -> None:
    keep(2)
    with pytest.raises(FencedError):
        keep(1, pages={"report": "<html>late</html>"})
    assert mongo[BACKTEST_RESULTS].find_one({"_id": "run-1"})["try_number"] == 2
    page = ReportStore(mongo).load(DAG, "run-1", "report")
    assert page is not None
    assert page.plain() == b"<html>drawn</html>"


def test_without_mongodb_the_task_tries_again_and_the_last_try_spools_the_result(
    mongo_away: None, tmp_path: Path
) -> None:
    with pytest.raises(ServiceUnavailableError):
        keep()
    spool = Spool(tmp_path / "spool")
    assert spool.pending() == []
    answer = keep(4, retried=True)
    assert answer["reports"] == {}
    assert "MongoDB is away" in answer["reports_missing"]
    assert answer["results"] == {"win_rate": 50.0}
    (waiting,) = (spool.read(path) for path in spool.pending())
    assert (waiting.collection, waiting.document["_id"]) == (BACKTEST_RESULTS, "run-1")
    assert len(waiting.document["trades"]) == 3


def test_the_memory_goes_with_the_result_and_stays_while_mongodb_is_away(
    mongo: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    MongoMemory(mongo, "run-1").keep("train", [{"key": "one"}])
    extra = {"serverSelectionTimeoutMS": 200}
    away = {"conn_type": "mongo", "host": "127.0.0.1", "port": free_port(), "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_MONGO_DEFAULT", json.dumps(away))
    from include.store.mongo import get_database

    forget(MongoMemory(get_database(), "run-1"))
    assert mongo[OPTIMIZATION_VARIATIONS].count_documents({}) == 1
    forget(MongoMemory(mongo, "run-1"))
    assert mongo[OPTIMIZATION_VARIATIONS].count_documents({}) == 0


def test_progress_is_readable_in_the_task_state_store() -> None:
    running = context()
    progress(running)(40, {"stage": "playing", "percent": "not this"})
    assert running["task_state_store"][PROGRESS_KEY] == {"stage": "playing", "percent": 40}
