"""A whole backtest on real candles: the stored document, the progress, the report."""

from __future__ import annotations

import base64
import gzip
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bokeh.io import curdoc

from include.market.candles import Candles
from include.store.documents import storable
from include.strategies.backtest import BacktestOutcome, run_backtest
from include.strategies.costs import TradingCosts
from include.strategies.registry import parse_strategy_params
from include.strategies.request import BacktestRequest
from tests.ml.real_candles import at_ms, real_candles
from tests.strategies import plain_loop
from tests.strategies.plain_loop import Bars
from tests.strategies.scenes import walk


@dataclass
class Run:
    """A backtest with what it said while it ran."""

    candles: Candles
    request: BacktestRequest
    percents: list[int] = field(default_factory=list)
    said: list[Mapping[str, Any]] = field(default_factory=list)

    def outcome(self) -> BacktestOutcome:
        def hear(percent: int, details: Mapping[str, Any]) -> None:
            self.percents.append(percent)
            self.said.append(details)

        return run_backtest(self.request, self.candles, hear)


def half_a_year(folder: Path) -> Run:
    params = parse_strategy_params("bollinger", {"period": 20, "std_dev": 2})
    request = BacktestRequest("bollinger", "BTCUSDT", "1h", at_ms("2024-05-22"), at_ms("2024-11-22"), params)
    return Run(real_candles(folder, "BTCUSDT", "2024-12-01", 250), request)


@pytest.fixture(scope="module")
def run(market_data_dir: Path) -> Run:
    return half_a_year(market_data_dir)


@pytest.fixture(scope="module")
def outcome(run: Run) -> BacktestOutcome:
    return run.outcome()


@pytest.fixture(scope="module")
def document(outcome: BacktestOutcome) -> dict[str, Any]:
    return storable(outcome.document())


def test_the_document_can_be_stored_and_written_as_json(document: dict[str, Any]) -> None:
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_results_have_the_keys_of_the_specification(document: dict[str, Any]) -> None:
    assert document["status"] == "success"
    results = document["results"]
    assert {
        "strategy", "symbol", "period", "total_trades", "winning_trades", "losing_trades", "win_rate", "total_return",
        "sharpe_ratio", "max_drawdown", "profit_factor", "avg_trade_duration_hours", "parameters_used",
    } <= set(results)  # fmt: skip
    assert results["period"] == "2024-05-22 to 2024-11-22"
    assert results["parameters_used"] == {"bb_period": 20, "bb_std": 2}
    assert results["total_trades"] == len(document["trades"]) > 100


def test_the_equity_curve_has_a_point_for_each_of_184_days(document: dict[str, Any]) -> None:
    points = document["equity_curve"]
    assert len(points) == 184
    assert (points[0]["date"], points[-1]["date"]) == ("2024-05-22", "2024-11-21")
    assert points[-1]["equity_usdt"] == pytest.approx(document["results"]["final_equity_usdt"], abs=1e-5)


def test_trades_and_months_add_up_to_the_result(document: dict[str, Any]) -> None:
    results = document["results"]
    earned = math.fsum(trade["pnl_usdt"] for trade in document["trades"])
    assert earned == pytest.approx(results["final_equity_usdt"] - 10_000, abs=1e-5)
    growth = math.prod(1 + row["return_pct"] / 100 for row in document["monthly"])
    assert 100 * (growth - 1) == pytest.approx(results["total_return"], abs=1e-4)
    for name in ("fees_usdt", "slippage_usdt", "funding_usdt"):
        assert math.fsum(trade[name] for trade in document["trades"]) == pytest.approx(results[name], abs=1e-5)
    assert [row["month"] for row in document["monthly"]] == [f"2024-{month:02d}" for month in range(5, 12)]
    assert sum(row["trades"] for row in document["monthly"]) == results["total_trades"]


def test_the_whole_run_is_that_of_the_plain_loop(run: Run, document: dict[str, Any]) -> None:
    warm_up, params = 200, run.request.params.model_dump()
    known = run.candles.between(None, run.request.end_ms)
    known = known.tail(warm_up + 184 * 24)
    wanted = plain_loop.wants_bollinger(Bars.of(known), **params)
    opened = warm_up - 1
    plain = plain_loop.trade(
        Bars.of(known.tail(len(known) - opened)), wanted[opened:], TradingCosts(), 10_000,
        Bars.of(known.between(None, int(known.open_time[opened]))),
    )  # fmt: skip
    assert len(plain.trades) == document["results"]["total_trades"]
    assert document["results"]["final_equity_usdt"] == pytest.approx(plain.equity[-1], abs=1e-6)
    assert [trade["pnl_usdt"] for trade in document["trades"]] == pytest.approx(
        [trade.pnl for trade in plain.trades], abs=1e-5
    )


def test_all_fills_lie_in_the_period(document: dict[str, Any]) -> None:
    for trade in document["trades"]:
        assert "2024-05-22" <= trade["entry_time"] <= trade["exit_time"] < "2024-11-22"


def test_the_data_and_the_terms_can_be_found_again(document: dict[str, Any]) -> None:
    assert document["data"]["candles"] == document["data"]["expected"] == 184 * 24
    assert document["data"]["missing"] == 0
    assert re.fullmatch(r"[0-9a-f]{64}", document["data"]["sha256"])
    assert document["request"]["costs"] == TradingCosts().to_dict()
    assert document["request"]["seed"] == 7
    assert document["look_ahead"]["passed"]
    assert document["monte_carlo"]["draws"] == 2000


def test_progress_ascends_in_steps_of_at_most_ten_percent(run: Run, outcome: BacktestOutcome) -> None:
    assert run.percents[0] <= 10
    assert run.percents[-1] == 100
    steps = [after - before for before, after in zip(run.percents[:-1], run.percents[1:], strict=True)]
    assert min(steps) > 0
    assert max(steps) <= 10
    storable({"details": [dict(details) for details in run.said]})


@pytest.mark.parametrize("days", [1, 2, 3])
def test_progress_of_the_shortest_runs_ascends_as_well(days: int) -> None:
    candles = walk(1, 6 * 20, timeframe="4h", start="2024-02-20")
    end = at_ms(f"2024-03-0{1 + days}")
    params = parse_strategy_params("rsi", {"rsi_period": 2})
    run = Run(candles, BacktestRequest("rsi", "TESTUSDT", "4h", at_ms("2024-03-01"), end, params))
    run.outcome()
    steps = [after - before for before, after in zip([0, *run.percents[:-1]], run.percents, strict=True)]
    assert min(steps) > 0
    assert max(steps) <= 10


# The report


def embedded(page: str) -> dict[str, Any]:
    """Return what Bokeh draws: the document inside the page."""
    (found,) = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)
    (drawn,) = json.loads(found).values()
    return drawn


def test_the_report_is_a_page_of_bokeh_with_equity_drawdown_trades_and_indicators(outcome: BacktestOutcome) -> None:
    text = json.dumps(embedded(outcome.report_html))
    for label in ("Equity", "Drawdown", "Profit / Loss", "OHLC", f"Trades ({outcome.results['total_trades']})",
                  "lower band", "mean", "upper band"):  # fmt: skip
        assert label in text
    assert "<title>Bollinger bands on BTCUSDT 1h</title>" in outcome.report_html


def drawn_series(drawn: Any) -> dict[str, np.ndarray]:
    """Return the longest numeric column of each name."""
    found: dict[str, np.ndarray] = {}

    def look(part: Any) -> None:
        if isinstance(part, dict):
            for value in part.values():
                look(value)
        elif isinstance(part, list):
            for value in part:
                look(value)
            if len(part) == 2 and isinstance(part[1], dict) and part[1].get("dtype") == "float64":
                raw = gzip.decompress(base64.b64decode(part[1]["array"]["data"]))
                values = np.frombuffer(raw, dtype=np.float64)
                if len(values) > len(found.get(part[0], ())):
                    found[part[0]] = values

    look(drawn)
    return found


def test_prices_and_indicators_in_the_report_are_those_of_the_coin(run: Run, outcome: BacktestOutcome) -> None:
    series = drawn_series(embedded(outcome.report_html))
    # The account is opened at the close of the bar before the period.
    shown = run.candles.between(run.request.start_ms - run.candles.bar_ms, run.request.end_ms)
    for name in ("Open", "High", "Low", "Close", "Volume"):
        np.testing.assert_allclose(series[name], getattr(shown, name.lower()))
    before = run.candles.between(shown.open_time[0] - 19 * shown.bar_ms, run.request.end_ms)
    middle = plain_loop.mean(before.close.tolist(), 20)[19:]
    np.testing.assert_allclose(series["mean_1_0"], middle)
    np.testing.assert_allclose((series["lower band_0_0"] + series["upper band_2_0"]) / 2, middle)
    assert series["equity"][0] == 1
    assert series["equity"][-1] == pytest.approx(outcome.results["final_equity_usdt"] / 10_000)


def test_the_report_loads_nothing_from_anywhere(outcome: BacktestOutcome) -> None:
    page = outcome.report_html
    assert not re.findall(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)\s*=", page)
    drawn = embedded(page)
    assert "callbacks" not in drawn
    addresses = set(re.findall(r"https?://[^\s\"'\\]+", json.dumps(drawn)))
    # The text of a watermark; nothing loads it.
    assert addresses <= {"http://kernc.github.io/backtesting.py"}


def test_what_is_drawn_after_a_report_is_free_of_the_librarys_counter(outcome: BacktestOutcome) -> None:
    assert outcome.report_html
    assert not curdoc().callbacks.js_event_callbacks


def test_a_run_of_more_bars_than_the_page_can_draw_has_a_report_of_longer_bars() -> None:
    candles = walk(1, 288 * 40, 0.002, "5m", start="2024-02-29")
    params = parse_strategy_params("volume", {})
    request = BacktestRequest("volume", "TESTUSDT", "5m", at_ms("2024-03-01"), at_ms("2024-04-09"), params)
    outcome = run_backtest(request, candles, lambda _percent, _details: None)
    assert outcome.data["candles"] > 10_000
    assert "OHLC" in json.dumps(embedded(outcome.report_html))
