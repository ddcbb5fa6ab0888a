"""What an approver reads."""

from __future__ import annotations

from datetime import timedelta

from include.trading.day_equity import DayEquity
from include.trading.kill_switch import Record
from include.trading.review import enable_body, halt_body
from include.trading.risk_rules import Limits, evidence_of, judge
from include.trading.strategy_figures import figures_of
from tests.trading.closed_trades import MIDNIGHT, NOON, row

EQUITY = DayEquity(MIDNIGHT, 10_000.0, "equity_history", MIDNIGHT)
FIGURES = figures_of("rsi", row([-1] * 12), EQUITY, 20)
EVIDENCE = evidence_of(FIGURES, judge(FIGURES, EQUITY, Limits()), EQUITY)


def test_case_for_enabling_shows_who_stopped_it_why_and_the_figures_then_and_now() -> None:
    record = Record("rsi", "disabled", "12 losses", "eve", "r", NOON, {"rsi": EVIDENCE}, 1, {"outcome": "disabled"})
    now = figures_of("rsi", row([-1] * 12 + [5, 5]), EQUITY, 20).to_dict()
    since = figures_of("rsi", row([-1] * 12 + [5, 5]), EQUITY, 20, NOON - timedelta(minutes=1)).to_dict()
    body = enable_body(record, now, since, "ann", "it is fixed")
    assert "**ann** asks to enable **rsi** again: “it is fixed”" in body
    assert "Stopped 2025-11-22 12:00:00 UTC by eve: “12 losses”" in body
    assert "| Losses in a row | 12 | 0 | 0 |" in body
    assert "| Closed trades | 12 | 2 | 14 |" in body
    assert "Reject, or no answer in time: it stays stopped" in body


def test_case_without_figures_says_unknown() -> None:
    record = Record("rsi", "disabled", "by hand", "ann", "r", NOON, {}, 1, {})
    body = enable_body(record, {}, {}, "ann", "x")
    assert "| Closed trades | unknown | unknown | unknown |" in body
    assert "not asked yet" in body


def test_case_for_the_lever_shows_conditions_and_what_it_does() -> None:
    body = halt_body("both_directions", EVIDENCE, "strategy_watchdog", "Consecutive losses: 12 trades")
    assert "all new entries of every strategy" in body
    assert "Consecutive losses: 12 trades (limit 10); newest trades: rsi-2" in body
    assert "| Losses in a row | 12 |" in body


FORGED = "fine\n\n# Approve | [now](http://x) ![](http://x/seen) <b>*yes*</b>"
PLAIN = r"fine \# Approve \| \[now\](http://x) \!\[\](http://x/seen) \<b\>\*yes\*\</b\>"


def test_words_of_people_and_services_do_not_pass_for_the_page() -> None:
    record = Record("rsi", "disabled", FORGED, FORGED, "r", NOON, {}, 1, {"outcome": FORGED})
    case = enable_body(record, {}, {}, FORGED, FORGED)
    condition = {"reason": FORGED, "threshold": FORGED, "trade_ids": [FORGED]}
    halt = halt_body("min_confidence", {"conditions": [condition], "figures": {"trades": FORGED}}, FORGED, FORGED)
    assert (case.count(PLAIN), halt.count(PLAIN)) == (5, 6)
    for page in (case, halt):
        assert "[now]" not in page
        assert "\n# Approve" not in page


def test_evidence_that_a_person_typed_breaks_nothing() -> None:
    for odd in ({}, {"figures": 5}, {"conditions": "x"}, {"conditions": [1, {"trade_ids": 5}]}):
        assert "Approve" in halt_body("min_confidence", odd, "ann", "x")
