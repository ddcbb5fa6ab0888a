"""A whole optimisation: its result, its progress, and what real markets and odd requests do to it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from include.errors import BadInputError
from include.market.candles import Candles
from include.market.timeframes import DAY_MS
from include.strategies.optimise.memory import ProcessMemory
from include.strategies.optimise.objective import OBJECTIVES, Objective
from include.strategies.optimise.request import OptimisationRequest
from include.strategies.optimise.run import OptimisationOutcome, candles_before, run_optimisation
from tests.ml.real_candles import at_ms, real_candles
from tests.strategies.optimise.prices import START_MS, candles_of, martingale
from tests.strategies.optimise.scenes import optimised, request

DAYS = 45


def numbers(value: Any) -> Iterator[float]:
    """Yield every number of a document."""
    if isinstance(value, dict):
        for item in value.values():
            yield from numbers(item)
    elif isinstance(value, list):
        for item in value:
            yield from numbers(item)
    elif isinstance(value, float):
        yield value


def assert_sound(outcome: OptimisationOutcome) -> dict[str, Any]:
    """Check what every result promises; return it."""
    document = outcome.document()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert all(math.isfinite(number) for number in numbers(document))
    assert document["verdict"] in ("robust", "weak", "overfit")
    assert document["verdict_reasons"]
    for name in ("pbo", "deflated_sharpe_ratio", "probabilistic_sharpe_ratio"):
        assert (document["robustness"][name] is None) == (name in document["robustness"]["undefined"])
    for page in outcome.pages.values():
        assert page.lstrip().startswith("<!DOCTYPE html>")
        assert addresses(page) == []
    return document


def addresses(page: str) -> list[str]:
    """Return everything that a page would load from elsewhere."""
    found: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.extend(f"{tag} {value}" for name, value in attrs if name in ("src", "href"))

    Reader().feed(page)
    return found


@pytest.fixture(scope="module")
def btc(market_data_dir: Path) -> Candles:
    return real_candles(market_data_dir, "BTCUSDT", "2024-11-22", 195)


def test_tc_async_067_the_grid_search_of_the_specification(btc: Candles) -> None:
    order = OptimisationRequest("rsi", "BTCUSDT", "1h", at_ms("2024-05-22"), at_ms("2024-11-22"), variations=50)
    said: list[tuple[int, Mapping[str, Any]]] = []
    outcome = run_optimisation(order, btc, ProcessMemory(), lambda *report: said.append(report))
    found = assert_sound(outcome)

    assert found["status"] == "success"
    assert found["total_variations_tested"] == len(found["all_results"]) == 50
    assert len({json.dumps(row["parameters"]) for row in found["all_results"]}) == 50
    ratios = [row["sharpe_ratio"] for row in found["all_results"]]
    known = [ratio for ratio in ratios if ratio is not None]
    assert known == sorted(known, reverse=True)
    assert ratios == known + [None] * (50 - len(known))
    assert found["top_10_results"] == found["all_results"][:10]
    assert 10 <= found["best_parameters"]["rsi_period"] <= 20
    assert found["best_parameters"] == found["all_results"][0]["parameters"]
    assert found["best_performance"]["sharpe_ratio"] == ratios[0]
    assert found["robustness"]["trials"] == 50
    assert len(found["walk_forward"]["windows"]) == 4
    assert len(found["walk_forward"]["equity_curve"]) == found["walk_forward"]["out_of_sample"]["days"]

    percents = [percent for percent, _ in said]
    assert percents == sorted(set(percents))
    assert percents[-1] == 100
    assert max(np.diff([0, *percents])) <= 10
    searching = [details["best_so_far"] for _, details in said if details["stage"] == "searching"]
    assert searching[-1] == {"parameters": found["best_parameters"], "sharpe_ratio": ratios[0]}
    values = [best["sharpe_ratio"] for best in searching if best]
    assert values == sorted(values)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_each_objective_is_what_is_maximised_and_the_list_stays_by_sharpe_ratio(objective: Objective) -> None:
    found = assert_sound(optimised(martingale(3, DAYS), request(DAYS, objective=objective, variations=25)))
    values = [row[objective] for row in found["all_results"] if row["total_trades"] and row[objective] is not None]
    assert found["best_performance"][objective] == found["best_performance"]["objective"] == max(values)
    assert found["all_results"][0]["sharpe_ratio"] == max(row["sharpe_ratio"] or -99 for row in found["all_results"])


def test_the_same_request_gives_the_same_result_also_on_more_processes() -> None:
    candles, order = martingale(4, DAYS), request(DAYS, method="model", variations=20)
    assert optimised(candles, order).document() == optimised(candles, order, processes=2).document()


def test_candles_after_the_period_and_long_before_it_change_nothing() -> None:
    whole, order = martingale(4, DAYS + 20, warm_up_days=60), request(DAYS)
    needed = whole.between(START_MS - candles_before(order) * 3_600_000, order.end_ms)
    assert optimised(whole, order).document() == optimised(needed, order).document()


@pytest.mark.parametrize("objective", ["sharpe_ratio", "total_return"])
def test_without_a_single_trade_nothing_is_chosen_and_it_says_so(objective: Objective) -> None:
    flat = candles_of(np.full((DAYS + 10) * 24 * 6 + 1, np.log(100.0)), 10)
    outcome = optimised(flat, request(DAYS, variations=12, objective=objective))
    found = assert_sound(outcome)
    assert found["best_parameters"] is None
    assert found["best_performance"] is None
    assert found["out_of_sample"] is None
    assert "none traded" in found["no_choice_reason"]
    assert found["total_variations_tested"] == len(found["all_results"]) == 12
    assert found["walk_forward"]["out_of_sample"]["total_return"] == 0.0
    assert found["walk_forward"]["out_of_sample"]["sharpe_ratio"] is None
    assert "sharpe_ratio" in found["walk_forward"]["out_of_sample"]["undefined"]
    assert found["walk_forward"]["efficiency"] is None
    assert found["verdict"] == "weak"
    assert "no variation traded" in found["verdict_reasons"][0]


def dying(candles: Candles, day: int) -> Candles:
    """Return the candles with a price that falls to 1/1000 within that day, and stays there."""
    begun = START_MS + day * DAY_MS
    hours = np.clip((candles.open_time - begun) / 3_600_000, 0, 24)
    factor = 10.0 ** (-3 * hours / 24)
    return replace(candles, **{name: getattr(candles, name) * factor for name in ("open", "high", "low", "close")})


@pytest.mark.parametrize("strategy", ["rsi", "macd"])
@pytest.mark.parametrize("day", [10, 40])
def test_a_symbol_that_dies_gives_finite_numbers(strategy: str, day: int) -> None:
    found = assert_sound(optimised(dying(martingale(7, DAYS), day), request(DAYS, strategy=strategy)))
    assert found["best_parameters"] is not None
    assert all(row["final_equity_usdt"] >= 0 for row in found["all_results"])


def test_an_outage_of_some_days_is_survived_and_reported() -> None:
    candles = martingale(7, DAYS)
    away = (candles.open_time >= START_MS + 30 * DAY_MS) & (candles.open_time < START_MS + 34 * DAY_MS)
    names = ("open_time", "open", "high", "low", "close", "volume")
    gappy = Candles(candles.symbol, "1h", *(getattr(candles, name)[~away] for name in names))
    found = assert_sound(optimised(gappy, request(DAYS)))
    assert found["data"]["missing"] == 4 * 24
    assert found["data"]["gaps"]


def test_a_strategy_with_one_varied_parameter_has_its_page_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from include.strategies.registry import get_strategy

    definition = get_strategy("rsi")
    only = {"rsi_period": definition.search_space()["rsi_period"]}
    monkeypatch.setattr(type(definition), "search_space", lambda _self: only)
    outcome = optimised(martingale(3, DAYS), request(DAYS, variations=500))
    found = assert_sound(outcome)
    assert found["total_variations_tested"] == 11
    assert found["search"]["whole_space"] is True
    assert found["best_parameters"]["rsi_oversold"] == 30


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variations": 501}, r"parameter_variations must be between 10 and 500, got 501"),
        ({"variations": 9}, r"parameter_variations must be between 10 and 500, got 9"),
        ({"method": "random"}, r"method must be one of: grid, genetic, model, got 'random'"),
        ({"objective": "luck"}, r"objective must be one of: sharpe_ratio, .*got 'luck'"),
        ({"strategy": "astrology"}, r"strategy_name must be one of: bollinger, macd, rsi, volume, got 'astrology'"),
        ({"cash_usdt": 0.0}, r"initial_cash_usdt must be a number above 0"),
        ({"windows": 1}, r"windows must be between 2 and 24, got 1"),
        ({"train_share": 0.95}, r"train_share must be between 0.5 and 0.9, got 0.95"),
        ({"embargo_days": -1}, r"embargo_days must be between 0 and 90, got -1"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        request(DAYS, **change)


def test_inverted_dates_are_refused() -> None:
    with pytest.raises(BadInputError, match="end_date must lie after start_date"):
        request(-1)


@pytest.mark.parametrize(
    ("candles", "days", "message"),
    [
        (martingale(1, 20), 20, "the period of 20 days is too short for 2 walk-forward windows"),
        (martingale(1, 45).between(START_MS + 44 * DAY_MS + DAY_MS // 4), 45, "Insufficient data: RSI .* found 18"),
        (martingale(1, 45).between(START_MS + 30 * DAY_MS), 45, r"Insufficient data: MADEUSDT 1h has 0 of 720"),
    ],
    ids=["short period", "fewer than the longest indicator", "listed later"],
)
def test_too_little_data_is_refused_before_any_work(candles: Candles, days: int, message: str) -> None:
    memory, said = ProcessMemory(), []
    with pytest.raises(BadInputError, match=message):
        run_optimisation(request(days), candles, memory, lambda *report: said.append(report), 1)
    assert not said


def test_corrupt_candles_are_refused() -> None:
    candles = martingale(1, DAYS)
    close = candles.close.copy()
    close[500] = np.nan
    with pytest.raises(BadInputError, match="Corrupt data"):
        optimised(replace(candles, close=close), request(DAYS))
