"""`backtest_strategy` as a trader starts it: through the running stack, on real candles of the exchange.

What describes the market (how many trades won) is reported; what must be true of any market is asserted.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import httpx
import pytest

from include.market.candle_store import CandleStore
from include.market.resample import resample
from include.market.timeframes import DAY_MS, bars_per_day
from include.store import collections
from ops.client import AirflowApiError
from tests.chain.conftest import Bundle, RunView, eventually
from tests.chain.strategy_lab import (
    BACKTEST,
    HALF_A_YEAR,
    LONG_TIMEOUT_S,
    OPTIMISE,
    SHOWN,
    links_of,
    period,
    report,
    run_id,
    stored,
    task_of,
    user,
)

pytestmark = pytest.mark.slow

BACKTESTS: dict[str, dict[str, Any]] = {
    "rsi": {
        "symbol": "BTCUSDT", "timeframe": "1h", "days": HALF_A_YEAR,
        "parameters": {"rsi_period": 14, "overbought": 70, "oversold": 30},
    },
    "macd": {"symbol": "ETHUSDT", "timeframe": "4h", "days": HALF_A_YEAR, "short_funding_pct_per_8h": 0.01},
    "bollinger": {"symbol": "BTCUSDT", "timeframe": "15m", "days": 40, "leverage": 2, "direction": "long"},
    "volume": {"symbol": "ETHUSDT", "timeframe": "5m", "days": 20, "latency_bars": 2},
}  # fmt: skip
"""Between them every strategy, every timeframe, both symbols."""


@dataclass(frozen=True)
class Started:
    """The runs that were started together: strategy -> run id; and who started them."""

    runs: dict[str, str]
    trader: str

    def finish(self, bundle: Bundle, name: str) -> RunView:
        return bundle.finish(BACKTEST, self.runs[name], timeout_s=LONG_TIMEOUT_S)


@pytest.fixture(scope="module")
def started(environment: Bundle) -> Started:
    """Start all backtests at once, as a trader."""
    environment.control.reset()
    name, trader = user(environment, "Trader")
    with trader:
        runs = {
            strategy: trader.trigger(
                BACKTEST, {"strategy_name": strategy, **period(environment, terms)}, run_id=run_id(strategy)
            )
            for strategy, terms in BACKTESTS.items()
        }
    return Started(runs, name)


def assert_backtest_is_consistent(bundle: Bundle, name: str, run: RunView) -> dict[str, Any]:
    """Check what must be true of any backtest; return the stored result."""
    assert run.state == "success", run.story
    terms, found = BACKTESTS[name], stored(bundle, collections.BACKTEST_RESULTS, run.run_id)
    figures, trades, curve = found["results"], found["trades"], found["equity_curve"]
    assert (found["status"], found["task_id"]) == ("success", run.run_id)
    assert (figures["strategy"], figures["symbol"], figures["timeframe"]) == (name, terms["symbol"], terms["timeframe"])
    report(name, figures)

    conf = period(bundle, terms)
    assert figures["period"] == f"{conf['start_date']} to {conf['end_date']}"
    assert len(curve) == terms["days"]
    days = [date.fromisoformat(point["date"]) for point in curve]
    assert days == [date.fromisoformat(conf["start_date"]) + timedelta(days=i) for i in range(terms["days"])]
    assert found["data"]["candles"] == terms["days"] * bars_per_day(terms["timeframe"])
    assert (found["data"]["missing"], found["data"]["gaps"]) == (0, [])
    assert found["data"]["warm_up_candles"] > 0

    final = 10_000 + math.fsum(trade["pnl_usdt"] for trade in trades)
    assert curve[-1]["equity_usdt"] == pytest.approx(final, abs=1e-6)
    assert figures["final_equity_usdt"] == pytest.approx(final, abs=1e-5)
    assert figures["total_return"] == pytest.approx((final / 10_000 - 1) * 100, abs=1e-5)
    assert figures["total_trades"] == len(trades) > 0
    assert figures["winning_trades"] + figures["losing_trades"] == len(trades)
    assert figures["winning_trades"] == sum(trade["pnl_usdt"] > 0 for trade in trades)
    assert figures["win_rate"] == pytest.approx(100 * figures["winning_trades"] / len(trades), abs=1e-5)
    assert figures["fees_usdt"] == pytest.approx(math.fsum(trade["fees_usdt"] for trade in trades), abs=1e-5)
    assert all(math.isfinite(figures[name]) for name in SHOWN)
    assert figures["undefined"] == {}
    for earlier, later in pairwise(trades):
        assert earlier["exit_time"] <= later["entry_time"], "one position at a time"
    assert found["look_ahead"]["passed"] is True
    assert found["look_ahead"]["cuts"] > 1
    chances = found["monte_carlo"]["total_return_pct"]
    assert chances["p5"] <= chances["p50"] <= chances["p95"]
    return found


def test_tc_async_066_and_071_half_a_year_of_rsi_with_its_progress(bundle: Bundle, started: Started) -> None:
    this, seen = started.runs["rsi"], []

    def over() -> bool:
        news = bundle.client.state_store(BACKTEST, this, "backtest", "progress")
        if news and news not in seen[-1:]:
            seen.append(news)
        return bundle.client.run(BACKTEST, this)["state"] in ("success", "failed")

    eventually(over, LONG_TIMEOUT_S)
    run = started.finish(bundle, "rsi")
    found = assert_backtest_is_consistent(bundle, "rsi", run)
    assert len(found["equity_curve"]) == 184
    assert found["results"]["parameters_used"] == {"rsi_period": 14, "rsi_overbought": 70, "rsi_oversold": 30}
    assert found["requested_by"] == started.trader
    percents = [news["percent"] for news in seen]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    task = task_of(bundle, BACKTEST, this, "backtest")
    assert (task["queue"], task["priority_weight"]) == ("backtesting", 3)

    travelled = run.xcom("backtest")
    assert travelled["results"] == found["results"]
    assert (travelled["task_id"], travelled["collection"]) == (this, "backtest_results")
    assert travelled["not_in_xcom"] == {"equity_curve": 184, "trades": len(found["trades"])}


@pytest.mark.parametrize(("case", "name"), [("068", "macd"), ("069", "bollinger"), ("070", "volume")])
def test_tc_async_068_069_070_and_072_each_strategy_on_a_timeframe_of_its_own(
    bundle: Bundle, started: Started, case: str, name: str
) -> None:
    found = assert_backtest_is_consistent(bundle, name, started.finish(bundle, name))
    terms = BACKTESTS[name]
    if terms.get("direction") == "long":
        assert {trade["side"] for trade in found["trades"]} == {"long"}
    else:
        assert {trade["side"] for trade in found["trades"]} == {"long", "short"}
    request = found["request"]
    assert request["costs"]["latency_bars"] == terms.get("latency_bars", 1)
    assert request["costs"]["leverage"] == terms.get("leverage", 1)
    if "short_funding_pct_per_8h" in terms:
        assert found["results"]["funding_usdt"] > 0


@pytest.mark.parametrize(("name", "longer"), [("volume", "1h"), ("bollinger", "1h")])
def test_tc_async_072_short_candles_are_parts_of_the_real_hours(
    bundle: Bundle, started: Started, name: str, longer: str
) -> None:
    started.finish(bundle, name)
    started.finish(bundle, "rsi")
    terms, store = BACKTESTS[name], CandleStore(bundle.db)
    start_ms = int(datetime.fromisoformat(period(bundle, terms)["start_date"]).replace(tzinfo=UTC).timestamp() * 1000)
    span = (start_ms, start_ms + terms["days"] * DAY_MS)
    hours = resample(store.load(terms["symbol"], terms["timeframe"], *span), longer)
    assert len(hours) == terms["days"] * bars_per_day(longer)
    if terms["symbol"] == "BTCUSDT":  # whose hours the first backtest has fetched
        real = store.load(terms["symbol"], longer, *span)
        assert hours.close.tolist() == real.close.tolist()
        assert hours.high.tolist() == real.high.tolist()
        assert hours.volume == pytest.approx(real.volume)


def test_tc_async_074_the_report_opens_for_who_may_read_the_dag_and_for_nobody_else(
    bundle: Bundle, started: Started
) -> None:
    run = started.finish(bundle, "rsi")
    links = links_of(bundle, BACKTEST, run.run_id, "backtest")
    assert set(links) == {"Report", "Trades (CSV)"}
    address = links["Report"]
    assert address == run.xcom("backtest")["reports"]["report"]["url"]

    _, reader = user(bundle, "RiskOfficer")
    _, stranger = user(bundle, "Public")
    with reader, stranger, httpx.Client(trust_env=False) as browser:
        tokens = {name: client.login() for name, client in (("reader", reader), ("stranger", stranger))}
        assert browser.get(address).status_code == httpx.codes.UNAUTHORIZED
        refused = browser.get(address, headers={"Authorization": f"Bearer {tokens['stranger']}"})
        assert (refused.status_code, refused.headers["Cache-Control"]) == (httpx.codes.FORBIDDEN, "no-store")
        bearer = {"Authorization": f"Bearer {tokens['reader']}"}
        page = browser.get(address, headers=bearer)
        assert page.status_code == httpx.codes.OK
        assert "sandbox allow-scripts" in page.headers["Content-Security-Policy"]
        for shown in ("Equity", "Drawdown", "Trades", "RSI(14)", "Bokeh"):
            assert shown in page.text
        cookie = browser.get(address, headers={"Cookie": f"_token={tokens['reader']}"})
        assert cookie.text == page.text, "a link opened in the browser has the cookie"
        table = browser.get(links["Trades (CSV)"], headers=bearer)
        rows = list(csv.DictReader(io.StringIO(table.text)))
        assert len(rows) == run.xcom("backtest")["results"]["total_trades"]
        for other in (f"{address}2", address.replace(run.run_id, "another"), address.replace(BACKTEST, OPTIMISE)):
            assert browser.get(other, headers=bearer).status_code == httpx.codes.NOT_FOUND
        with pytest.raises(AirflowApiError) as refusal:
            reader.trigger(BACKTEST, period(bundle, BACKTESTS["rsi"]))
        assert refusal.value.status == httpx.codes.FORBIDDEN


def test_a_task_that_is_cleared_overwrites_result_and_report(bundle: Bundle, started: Started) -> None:
    run = started.finish(bundle, "volume")
    before = stored(bundle, collections.BACKTEST_RESULTS, run.run_id)
    bundle.client.request(
        "POST", f"/api/v2/dags/{BACKTEST}/clearTaskInstances",
        json={
            "dry_run": False, "dag_run_id": run.run_id, "task_ids": ["backtest"], "only_failed": False,
            "reset_dag_runs": True,
        },
    )  # fmt: skip
    eventually(lambda: stored(bundle, collections.BACKTEST_RESULTS, run.run_id)["try_number"] > before["try_number"])
    again = bundle.finish(BACKTEST, run.run_id)
    assert again.state == "success", again.story
    after = stored(bundle, collections.BACKTEST_RESULTS, run.run_id)
    ours = {"try_number", "stored_at", "timestamp", "reports"}
    assert {k: v for k, v in after.items() if k not in ours} == {k: v for k, v in before.items() if k not in ours}
    files = bundle.db[f"{collections.STRATEGY_REPORTS_BUCKET}.files"]
    kept = list(files.find({"metadata.run_id": run.run_id}))
    assert sorted(file["metadata"]["name"] for file in kept) == ["report", "trades.csv"]
    assert {file["metadata"]["try_number"] for file in kept} == {after["try_number"]}
