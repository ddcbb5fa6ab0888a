"""What the verdict rests on: accuracy findings, market, thresholds, and when to ask at all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pymongo.database import Database

from include.analyst.accuracy import accuracy_findings, accuracy_histories
from include.analyst.analysis_documents import fallback_result, skipped_result
from include.analyst.decision import fallback
from include.analyst.evidence import Evidence, build_evidence, finding_key, reasons_to_analyse, why_skip
from include.analyst.history import judged_analysis, mark_retrain_triggered, with_retrain
from include.analyst.market_conditions import market_conditions
from include.errors import BadInputError
from include.store.collections import GPT4_ANALYSIS_HISTORY
from include.trading.performance import analyse
from include.trading.trades import parse_trades
from tests.analyst.evidence_parts import GOOD, NOW_MS, POOR, candles_of, evidence_of, histories, market_of, score_rows
from tests.trading.engine_answers import NOW, week

TODAY = NOW.date()


def kinds(**accuracies: list[float | None]) -> list[tuple[str, str]]:
    return [(finding.kind, finding.model_type) for finding in accuracy_findings(histories(**accuracies), TODAY)]


def test_drop_of_more_than_five_points_in_seven_days_is_a_finding() -> None:
    assert kinds(lstm=[0.75, 0.74, 0.73, 0.72, 0.71, 0.70, 0.699]) == [("drop", "lstm")]


def test_drop_of_exactly_five_points_is_none() -> None:
    assert kinds(lstm=[0.73, 0.72, 0.71, 0.70, 0.70, 0.69, 0.68]) == []


def test_accuracy_under_065_is_a_finding_by_itself() -> None:
    assert kinds(gru=[0.649]) == [("below_minimum", "gru")]
    assert kinds(gru=[0.65]) == []


def test_drop_that_is_older_than_seven_days_is_none() -> None:
    assert kinds(lstm=[0.80, *[0.72] * 8]) == []


def test_history_that_ended_ten_days_ago_says_nothing() -> None:
    rows = score_rows({"lstm": [0.50]}, date=(TODAY - timedelta(days=10)).isoformat())
    assert accuracy_findings(accuracy_histories(rows), TODAY) == ()


def test_score_on_few_bars_is_noise() -> None:
    rows = score_rows({"lstm": [0.75, 0.50]}, bars=24)
    assert accuracy_findings(accuracy_histories(rows), TODAY) == ()


def test_new_champion_without_a_score_yet_is_not_blamed_for_its_predecessor() -> None:
    old = score_rows({"lstm": [0.75, 0.70, 0.60]})[:2]
    new = score_rows({"lstm": [None]}, model_id="lstm-2", bars=0)
    histories = accuracy_histories(old + new)
    assert accuracy_findings(histories, TODAY) == ()
    assert histories[0].points == ()


def test_of_two_scores_of_a_day_the_later_counts_in_any_order() -> None:
    early = score_rows({"lstm": [0.60]}, timestamp=NOW - timedelta(hours=2))
    late = score_rows({"lstm": [0.70]}, timestamp=NOW)
    for rows in (early + late, late + early):
        assert accuracy_histories(rows)[0].points[0].accuracy == 0.70


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"accuracy": 70.0}, "accuracy 70.0, which is not a share"),
        ({"accuracy": float("nan")}, "accuracy nan"),
        ({"model_type": "cnn"}, "model type 'cnn'"),
        ({"symbol": None}, "lacks symbol or timeframe"),
        ({"date": "soon"}, "no readable date"),
    ],
)
def test_impossible_score_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInputError, match=says):
        accuracy_histories([{**score_rows({"lstm": [0.7]})[0], **changes}])


def test_calm_market_has_not_changed() -> None:
    market = market_of()
    assert market.regime_changed is False
    assert market.volatility_now_pct == pytest.approx(market.volatility_before_pct, rel=0.05)
    assert market.volume_change_pct == 0


def test_doubled_volatility_is_a_regime_change() -> None:
    assert market_of(last_day=0.0045).regime_changed is True
    assert market_of(last_day=0.0035).regime_changed is False


def test_tripled_volume_is_a_regime_change_and_is_a_change_not_a_raw_volume() -> None:
    market = market_of(volume_factor=3.3)
    assert market.volume_change_pct == pytest.approx(230)
    assert market.regime_changed is True


def test_price_change_is_that_of_24_hours() -> None:
    market = market_of(drift=-0.0037)
    assert market.price_change_24h_pct == pytest.approx(-8.5, abs=0.1)


def test_missing_candles_are_said_and_nothing_is_computed_from_the_rest() -> None:
    few = market_conditions(candles_of(hours=100), NOW_MS)
    assert few.regime_changed is None
    assert few.reason == "only 76 of 168 candles of the 7 days before are stored"
    stale = market_conditions(candles_of(), NOW_MS + 24 * 3_600_000)
    assert stale.reason == "only 0 of 24 candles of the 24 hours are stored"


def test_unfinished_hour_does_not_enter_the_market() -> None:
    assert market_conditions(candles_of(), NOW_MS + 1_800_000) == market_of()


def test_the_four_thresholds() -> None:
    met = {check.name: check.met for check in evidence_of(POOR, {"lstm": [0.75, 0.69]}, volume_factor=4).thresholds}
    assert met == {"win_rate": True, "accuracy_drop": True, "sharpe_ratio": True, "regime": True}
    good = {check.name: check.met for check in evidence_of(GOOD).thresholds}
    assert good == {"win_rate": False, "accuracy_drop": False, "sharpe_ratio": False, "regime": False}
    unknown = build_evidence(analyse([], NOW), (), ())
    assert {check.met for check in unknown.thresholds} == {None}


def test_win_rate_threshold_needs_three_days_in_a_row() -> None:
    recovered = [*POOR[:6], (6, 1, 2.0, -2.0)]
    assert next(check for check in evidence_of(recovered).thresholds if check.name == "win_rate").met is False


def test_tc_async_060_acceptable_performance_is_skipped() -> None:
    evidence = evidence_of(GOOD)
    reasons = reasons_to_analyse(evidence, force=False)
    assert reasons == ()
    assert why_skip(evidence, reasons, already_analysed=False, force=False) == "Performance is acceptable"
    assert skipped_result("r", "Performance is acceptable", evidence)["status"] == "skipped"


def test_tc_async_061_forced_analysis_runs_although_all_is_well() -> None:
    evidence = evidence_of(GOOD)
    reasons = reasons_to_analyse(evidence, force=True)
    assert reasons == ("the analysis was forced",)
    assert why_skip(evidence, reasons, already_analysed=True, force=True) is None


def test_each_critical_metric_and_each_accuracy_finding_is_a_reason() -> None:
    evidence = evidence_of(POOR, {"lstm": [0.60], "gru": [0.75, 0.69]})
    assert reasons_to_analyse(evidence, force=False) == (
        "win_rate is critical",
        "avg_profit is critical",
        "sharpe is critical",
        "LSTM on BTCUSDT 1h accuracy 60.0% is below 65%",
        "GRU on BTCUSDT 1h accuracy dropped 6.0 points in 7 days, to 69.0%",
    )


def test_too_few_trades_are_no_reason_even_with_a_bad_accuracy() -> None:
    evidence = evidence_of([(1, 4, 1.0, -1.0)], {"lstm": [0.50]})
    assert reasons_to_analyse(evidence, force=False) == ()
    assert str(why_skip(evidence, (), already_analysed=False, force=False)).startswith("Not enough data: 5 trades")


def test_the_0300_run_skips_the_finding_that_the_0100_run_had_judged() -> None:
    at_one = evidence_of(POOR)
    later = analyse(parse_trades(week(*POOR)), NOW + timedelta(hours=2))
    at_three = build_evidence(later, at_one.accuracy, at_one.markets)
    assert at_one != at_three
    assert finding_key(at_one) == finding_key(at_three)
    reasons = reasons_to_analyse(at_three, force=False)
    assert (
        why_skip(at_three, reasons, already_analysed=True, force=False)
        == "This finding has already been analysed today"
    )


def test_another_finding_or_another_day_has_another_key() -> None:
    tomorrow = build_evidence(analyse(parse_trades(week(*POOR)), NOW + timedelta(days=1)), (), ())
    keys = {
        finding_key(e) for e in (evidence_of(POOR), evidence_of(GOOD), evidence_of(POOR, {"lstm": [0.6]}), tomorrow)
    }
    assert len(keys) == 4


def test_only_a_judged_analysis_counts_as_analysed(db: Database[dict[str, Any]]) -> None:
    key = finding_key(evidence_of(POOR))
    history = db[GPT4_ANALYSIS_HISTORY]
    history.insert_one({"_id": "no-judge", "finding_key": key, "status": "fallback", "judge": "none", "timestamp": NOW})
    history.insert_one({"_id": "unusable", "finding_key": key, "status": "error", "judge": "gpt4", "timestamp": NOW})
    assert judged_analysis(db, key) is None
    history.insert_one({"_id": "judged", "finding_key": key, "status": "success", "judge": "gpt4", "timestamp": NOW})
    assert judged_analysis(db, key) == "judged"
    assert judged_analysis(db, key, but_not="judged") is None
    assert judged_analysis(db, "another") is None


def test_retraining_is_recorded_only_once_its_runs_exist(db: Database[dict[str, Any]]) -> None:
    evidence = evidence_of(POOR)
    result = fallback_result("run-1", fallback(evidence, "no key"), evidence, ())
    assert (result["analysis"]["retrain_triggered"], result["analysis"]["retrain_task_id"]) == (False, None)
    with pytest.raises(BadInputError, match="store it first"):
        mark_retrain_triggered(db, "run-1", ["child"])
    db[GPT4_ANALYSIS_HISTORY].insert_one({"_id": "run-1", "retrain_triggered": False, "full_analysis": result})
    for _ in range(2):
        mark_retrain_triggered(db, "run-1", ["child-btc", "child-eth"])
    stored = db[GPT4_ANALYSIS_HISTORY].find_one({"_id": "run-1"})
    assert stored is not None
    assert (stored["retrain_triggered"], stored["retrain_task_id"]) == (True, "child-btc")
    assert stored["full_analysis"]["analysis"]["retrain_task_id"] == "child-btc"
    assert with_retrain(result, ["child-btc"])["analysis"]["retrain_triggered"] is True
    assert with_retrain(result, [])["analysis"]["retrain_triggered"] is False
    with pytest.raises(BadInputError, match="no retraining run"):
        mark_retrain_triggered(db, "run-1", [])


def test_evidence_survives_the_way_from_task_to_task() -> None:
    evidence = evidence_of(POOR, {"lstm": [0.60]})
    assert Evidence.model_validate_json(evidence.model_dump_json()) == evidence
    assert Evidence.model_validate(evidence.model_dump(mode="json")) == evidence
