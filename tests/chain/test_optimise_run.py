"""`optimize_strategy` as a trader starts it: through the running stack, on real candles, killed in the middle."""

from __future__ import annotations

import csv
import io
import os
import signal
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import psutil
import pytest

from include.store import collections
from ops.client import AirflowApiError
from tests.chain.conftest import Bundle, RunView, eventually
from tests.chain.strategy_lab import (
    BACKTEST,
    HALF_A_YEAR,
    LONG_TIMEOUT_S,
    OPTIMISE,
    links_of,
    period,
    report,
    run_id,
    stored,
    task_of,
    user,
)

pytestmark = pytest.mark.slow

GRID: dict[str, Any] = {"symbol": "BTCUSDT", "timeframe": "1h", "days": HALF_A_YEAR, "parameter_variations": 50}
OPTIMISATIONS: dict[str, dict[str, Any]] = {
    "grid": GRID,
    "genetic": {**GRID, "method": "genetic", "anchored": True, "windows": 3},
}
WHOLE_SPACE = {**GRID, "parameter_variations": 500, "windows": 2}


@dataclass(frozen=True)
class Started:
    """The runs that were started together: search -> run id."""

    runs: dict[str, str]

    def finish(self, bundle: Bundle, name: str) -> tuple[RunView, dict[str, Any]]:
        """Return a run that succeeded, and its stored result."""
        run = bundle.finish(OPTIMISE, self.runs[name], timeout_s=LONG_TIMEOUT_S)
        assert run.state == "success", run.story
        return run, stored(bundle, collections.OPTIMIZATION_RESULTS, run.run_id)


@pytest.fixture(scope="module")
def started(environment: Bundle) -> Started:
    """Start both searches at once, as a trader."""
    environment.control.reset()
    _, trader = user(environment, "Trader")
    with trader:
        return Started(
            {
                name: trader.trigger(OPTIMISE, period(environment, terms), run_id=run_id(name))
                for name, terms in OPTIMISATIONS.items()
            }
        )


def test_tc_async_067_fifty_variations_of_rsi_ranked_by_sharpe_ratio(bundle: Bundle, started: Started) -> None:
    run, found = started.finish(bundle, "grid")
    results = found["all_results"]
    report(f"grid {found['best_parameters']} {found['verdict']}", found["best_performance"])
    assert (found["status"], found["task_id"], found["strategy"]) == ("success", run.run_id, "rsi")
    assert found["total_variations_tested"] == len(results) == 50
    assert len({str(sorted(result["parameters"].items())) for result in results}) == 50
    ratios = [result["sharpe_ratio"] for result in results]
    assert ratios == sorted(ratios, reverse=True)
    assert found["top_10_results"] == results[:10]
    best = found["best_parameters"]
    assert 10 <= best["rsi_period"] <= 20
    assert best == results[0]["parameters"], "the objective is the Sharpe ratio"
    assert {"win_rate", "total_return", "sharpe_ratio"} <= set(found["best_performance"])
    assert found["verdict"] in ("robust", "weak", "overfit")
    assert found["verdict_reasons"]
    progress = bundle.client.state_store(OPTIMISE, run.run_id, "optimize", "progress")
    assert (progress["percent"], progress["best_so_far"]["parameters"]) == (100, best)
    task = task_of(bundle, OPTIMISE, run.run_id, "optimize")
    assert (task["queue"], task["priority_weight"]) == ("optimization", 1)
    travelled = run.xcom("optimize")
    assert travelled["top_10_results"] == results[:10]
    assert travelled["not_in_xcom"]["all_results"] == 50
    assert bundle.db[collections.OPTIMIZATION_VARIATIONS].count_documents({"run_id": run.run_id}) == 0


@pytest.mark.parametrize("search", ["grid", "genetic"])
def test_tc_async_073_every_window_is_tried_on_days_that_its_search_has_not_seen(
    bundle: Bundle, started: Started, search: str
) -> None:
    _, found = started.finish(bundle, search)
    terms, walk = OPTIMISATIONS[search], found["walk_forward"]
    conf, windows = period(bundle, terms), walk["windows"]
    assert len(windows) == terms.get("windows", 4)
    for window in windows:
        gap = date.fromisoformat(window["test"]["start_date"]) - date.fromisoformat(window["train"]["end_date"])
        assert gap.days == walk["embargo_days"] >= 1
    ends = [window["test"]["end_date"] for window in windows]
    assert [window["test"]["start_date"] for window in windows[1:]] == ends[:-1], "end to end"
    assert ends[-1] == conf["end_date"]
    begins = {window["train"]["start_date"] for window in windows}
    assert begins == {conf["start_date"]} if terms.get("anchored") else len(begins) == len(windows)
    first = date.fromisoformat(windows[0]["test"]["start_date"])
    assert len(walk["equity_curve"]) == (date.fromisoformat(ends[-1]) - first).days
    assert found["out_of_sample"]["start_date"] > found["best_performance"]["end_date"]
    assert walk["parameter_stability"]
    doubts = found["robustness"]
    assert 0 <= doubts["pbo"] <= 1
    assert 0 <= doubts["deflated_sharpe_ratio"] <= 1
    assert doubts["trials"] == 50


def test_tc_async_075_the_genetic_search_tries_as_many_and_is_compared_with_the_grid(
    bundle: Bundle, started: Started
) -> None:
    results = {}
    for search in ("grid", "genetic"):
        _, found = started.finish(bundle, search)
        assert (found["method"], found["total_variations_tested"]) == (search, 50)
        assert len({str(result["parameters"]) for result in found["all_results"]}) == 50
        results[search] = {str(result["parameters"]): result for result in found["all_results"]}
        report(f"{search} {found['best_parameters']} {found['verdict']}", found["best_performance"])
    both = results["grid"].keys() & results["genetic"].keys()
    assert both, "of 275 combinations they share some"
    for name in both:
        grid, genetic = results["grid"][name], results["genetic"][name]
        assert {**grid, "rank": 0} == {**genetic, "rank": 0}, "the same parameters on the same days"


def test_tc_async_074_the_pages_of_a_search_are_linked_from_its_task(bundle: Bundle, started: Started) -> None:
    run, found = started.finish(bundle, "grid")
    links = links_of(bundle, OPTIMISE, run.run_id, "optimize")
    assert set(links) == {"Heatmap", "Out-of-sample equity", "Variations (CSV)"}
    with httpx.Client(trust_env=False, headers={"Authorization": f"Bearer {bundle.client.login()}"}) as browser:
        pages = {name: browser.get(address) for name, address in links.items()}
    assert {page.status_code for page in pages.values()} == {httpx.codes.OK}
    assert "rsi_oversold" in pages["Heatmap"].text
    assert found["verdict"] in pages["Out-of-sample equity"].text
    assert len(list(csv.DictReader(io.StringIO(pages["Variations (CSV)"].text)))) == 50


def test_a_killed_optimisation_continues_with_the_variations_that_are_not_done(
    bundle: Bundle, started: Started
) -> None:
    for name in OPTIMISATIONS:
        started.finish(bundle, name)  # two run at a time
    this = bundle.start(OPTIMISE, period(bundle, WHOLE_SPACE))
    variations = bundle.db[collections.OPTIMIZATION_VARIATIONS]
    chosen_on = {"run_id": this, "segment": {"$regex": "^train"}}
    eventually(lambda: variations.count_documents(chosen_on) >= 20, LONG_TIMEOUT_S)
    process = psutil.Process(task_of(bundle, OPTIMISE, this, "optimize")["pid"])
    assert "airflow" in " ".join(process.cmdline())
    family = [process, *process.children(recursive=True)]
    os.kill(process.pid, signal.SIGKILL)
    killed_at = datetime.now(UTC)
    _, alive = psutil.wait_procs(family, timeout=15)
    assert alive == [], "its helpers must not live on"
    # The second try may have begun by now: what it adds is younger.
    finished = variations.count_documents({**chosen_on, "at": {"$lte": killed_at}})
    assert finished >= 20

    run = bundle.finish(OPTIMISE, this, timeout_s=LONG_TIMEOUT_S)
    assert run.state == "success", run.story
    assert run.tries["optimize"] == 2
    found = stored(bundle, collections.OPTIMIZATION_RESULTS, this)
    assert found["total_variations_tested"] == found["search"]["combinations"] == 275
    assert found["search"]["remembered"] == finished
    assert len({str(result["parameters"]) for result in found["all_results"]}) == 275
    assert variations.count_documents({"run_id": this}) == 0

    grid = stored(bundle, collections.OPTIMIZATION_RESULTS, started.runs["grid"])
    whole = {str(result["parameters"]): result for result in found["all_results"]}
    for result in grid["all_results"]:
        assert {**whole[str(result["parameters"])], "rank": 0} == {**result, "rank": 0}, "as if never killed"


def test_bad_input_is_refused_at_the_door_or_in_the_first_task_before_a_candle_is_asked_for(bundle: Bundle) -> None:
    good = period(bundle, {"days": HALF_A_YEAR})
    wrong_at_the_door: tuple[tuple[str, dict[str, Any]], ...] = (
        (OPTIMISE, {"parameter_variations": 501}),
        (OPTIMISE, {"parameter_variations": 9}),
        (OPTIMISE, {"method": "luck"}),
        (BACKTEST, {"strategy_name": "astrology"}),
        (BACKTEST, {"initial_cash_usdt": 0}),
        (BACKTEST, {"fee_pct": -1}),
        (BACKTEST, {"start_date": "yesterday"}),
        (BACKTEST, {"parameters": []}),
        (BACKTEST, {"timeframe": "2h"}),
    )
    for dag_id, wrong in wrong_at_the_door:
        with pytest.raises(AirflowApiError) as refused:
            bundle.start(dag_id, {**good, **wrong})
        assert refused.value.status == httpx.codes.BAD_REQUEST
        assert next(iter(wrong)) in str(refused.value)

    today = datetime.fromtimestamp(bundle.control.data()["now_ms"] / 1000, UTC).date()
    twisted = {**good, "start_date": good["end_date"], "end_date": good["start_date"], "parameters": {"rsi_period": 1}}
    runs = {
        "twisted": (BACKTEST, bundle.start(BACKTEST, twisted)),
        "future": (OPTIMISE, bundle.start(OPTIMISE, {**good, "end_date": str(today + timedelta(days=2))})),
    }
    words = {
        "twisted": (
            "end_date must lie after start_date", "parameters: rsi_period must be a whole number >= 2 and <= 200, got 1"
        ),
        "future": (f"end_date must not lie in the future: by the exchange's clock it is {today}",),
    }  # fmt: skip
    for name, (dag_id, this) in runs.items():
        run = bundle.finish(dag_id, this)
        assert (run.state, run.tasks["admit"], run.tries["admit"]) == ("failed", "failed", 1), run.story
        assert run.tasks["load_candles"] == "upstream_failed"
        said = "\n".join(message["body"] for message in bundle.messages(this))
        for part in words[name]:
            assert part in said
    assert not [request for request in bundle.control.requests("binance") if request["path"] == "/api/v3/klines"]
