"""What people read when something was stopped, or could not be."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from include.notify.message import Severity
from include.notify.risk_alerts import (
    blind_message,
    book_message,
    emergency_message,
    enabled_message,
    halted_message,
    powerless_message,
    refused_message,
    sees_again_message,
    unknown_message,
)
from tests.trading.closed_trades import NOON


def outcome(name: str, engine: str = "disabled", record: str = "stored", **changes: Any) -> dict[str, Any]:
    fields = {
        "strategy": name, "record": record, "record_problem": None, "engine": engine, "verified": True,
        "problem": None if engine == "disabled" else f"engine POST {name} answered status 404",
        "pending_signals_cancelled": 3 if engine == "disabled" else 0,
    }  # fmt: skip
    return {**fields, **changes}


def result(*outcomes: dict[str, Any]) -> dict[str, Any]:
    return {
        "task_id": "run-1", "status": "success" if all(o["engine"] == "disabled" for o in outcomes) else "failed",
        "reason": "Consecutive losses: 12 trades",
        "pending_signals_cancelled": sum(o["pending_signals_cancelled"] for o in outcomes),
        "strategies": {o["strategy"]: o for o in outcomes},
    }  # fmt: skip


def test_tc_async_059_alert_is_critical_and_says_what_why_and_what_now() -> None:
    message = emergency_message(result(outcome("rsi")), "watchdog", "strategy_watchdog", "off")
    assert message.severity is Severity.CRITICAL
    assert message.title == "EMERGENCY: rsi disabled"
    assert "Consecutive losses: 12 trades" in message.body
    assert "Open positions are left to complete" in message.body
    assert "enable_strategy" in message.body
    assert message.fields["Pending signals cancelled"] == "3"


@pytest.mark.parametrize(
    ("lever", "advice"), [("off", "TRADING_OPS_BLUNT_LEVER"), ("min_confidence", "lever min_confidence")]
)
def test_failure_says_that_the_engine_still_trades_and_what_a_person_can_do(lever: str, advice: str) -> None:
    message = emergency_message(result(outcome("rsi", "not_supported"), outcome("macd")), "manual", "ann", lever)
    assert message.severity is Severity.CRITICAL
    assert message.title == "EMERGENCY: rsi could NOT be disabled, the engine still trades"
    assert "STILL TRADES: engine POST rsi answered status 404" in message.body
    assert "macd: recorded; disabled" in message.body
    assert advice in message.body
    assert "halt_new_entries" in message.body
    assert "stop-loss" in message.body
    assert message.fields["Disabled"] == "macd"


def test_second_time_is_a_warning_that_it_was_disabled_already() -> None:
    message = emergency_message(result(outcome("rsi", record="already")), "manual", "ann", "off")
    assert (message.severity, message.title) == (
        Severity.WARNING,
        "rsi was disabled already, the engine was told again",
    )


def test_already_recorded_but_still_trading_is_critical() -> None:
    message = emergency_message(result(outcome("rsi", "unavailable", "already")), "manual", "ann", "off")
    assert message.severity is Severity.CRITICAL


def test_reassertion_says_that_it_may_have_traded_in_between() -> None:
    message = emergency_message(result(outcome("rsi", record="already")), "reassert", "strategy_watchdog", "off")
    assert message.severity is Severity.CRITICAL
    assert "rsi was active again" in message.title
    assert "may have traded in between" in message.body


def test_record_that_is_nowhere_is_said_loudly() -> None:
    lost = outcome("rsi", record="not_kept", record_problem="MongoDB is away; the disk is full")
    message = emergency_message(result(lost), "manual", "ann", "off")
    assert "NO RECORD of rsi" in message.body
    assert "the disk is full" in message.body


def test_engine_without_a_list_is_not_called_verified() -> None:
    message = emergency_message(result(outcome("rsi", verified=None)), "manual", "ann", "off")
    assert "no list of active strategies to check it with" in message.body


def test_every_run_has_one_alert_and_another_when_it_is_cleared_and_ends_otherwise() -> None:
    def key(*outcomes: dict[str, Any]) -> str:
        return emergency_message(result(*outcomes), "manual", "ann", "off").dedupe_key

    assert key(outcome("rsi")) == key(outcome("macd"))
    assert key(outcome("rsi")) != key(outcome("rsi", "unavailable"))


EVIDENCE = {
    "figures": {
        "trades": 11, "daily_pnl_usdt": -1234.5, "losing_streak": 11, "win_rate_pct": None, "win_rate_trades": 20,
    },
    "conditions": [{"reason": "Consecutive losses: 11 trades", "threshold": 10, "trade_ids": list("abcdefgh")}],
}  # fmt: skip


def test_book_alert_shows_figures_limits_trades_and_the_waiting_approval() -> None:
    message = book_message("Consecutive losses: 11 trades", EVIDENCE, "both_directions", "halt__x", "1", NOON)
    assert message.severity is Severity.CRITICAL
    assert "(limit 10)" in message.body
    assert "halt__x waits under Required Actions" in message.body
    assert message.fields["PnL since 00:00 UTC"] == "-1,234.50 USDT"
    assert message.fields["Win rate, last 20"] == "unknown"
    assert message.fields["Newest trades"] == "d, e, f, g, h"


def test_book_alert_without_a_lever_says_how_to_get_one() -> None:
    message = book_message("x", EVIDENCE, "off", None, "1", NOON)
    assert "TRADING_OPS_BLUNT_LEVER=both_directions" in message.body


def test_repeats_have_keys_of_their_own_and_retries_do_not() -> None:
    def keys(number: int) -> set[str]:
        return {
            book_message("x", EVIDENCE, "off", None, str(number), NOON).dedupe_key,
            powerless_message(["rsi"], "off", number, NOON).dedupe_key,
            unknown_message({"rsi": "no pnl"}, number, NOON).dedupe_key,
            blind_message(ValueError("x"), str(number), NOON, "run").dedupe_key,
        }

    assert keys(1) == keys(1)
    assert len(keys(1) | keys(2)) == 8


def test_blindness_is_neither_alarm_nor_all_clear_and_has_an_end() -> None:
    blind = blind_message(TimeoutError("engine GET /x did not answer"), "1", NOON, "run")
    assert blind.severity is Severity.ERROR
    assert "engine GET /x did not answer" in blind.body
    assert "Nothing was judged" in blind.body
    end = sees_again_message(NOON - timedelta(minutes=25), NOON)
    assert end.severity is Severity.INFO
    assert "25 minutes" in end.body


@pytest.mark.parametrize(("problem", "severity"), [(None, Severity.WARNING), ("status 404", Severity.ERROR)])
def test_enabling_names_the_approver_and_what_the_engine_did_not_take(problem: str | None, severity: Severity) -> None:
    done = {
        "status": "failed" if problem else "success", "strategy": "rsi", "approved_by": "bob", "reason": "fixed",
        "disabled_reason": "12 losses",
        "problem": problem, "task_id": "run",
    }  # fmt: skip
    message = enabled_message(done)
    assert message.severity is severity
    assert "Approved by bob: fixed" in message.body
    assert "12 losses" in message.body
    assert (problem is None) or (problem in message.body)


def test_refusal_says_who_and_that_nothing_changed() -> None:
    message = refused_message("rsi stays disabled", "bob", "run")
    assert (message.title, message.severity) == ("Refused: rsi stays disabled", Severity.WARNING)
    assert "bob refused it; nothing was changed" in message.body


@pytest.mark.parametrize(
    ("stopped", "problem", "title"),
    [
        (True, None, "All new entries are stopped"),
        (False, "status 500", "New entries could NOT be stopped"),
        (True, "no record of it could be kept: disk full", "All new entries are stopped, but no record of it is kept"),
    ],
)
def test_halt_is_critical_and_says_how_it_is_undone_or_what_to_do_instead(
    stopped: bool, problem: str | None, title: str
) -> None:
    done = {
        "status": "failed" if problem else "success", "stopped": stopped, "lever": "both_directions",
        "what": "short-only and long-only", "approved_by": "bob",
        "reason": "crash", "problem": problem, "task_id": "run",
    }  # fmt: skip
    message = halted_message(done)
    assert (message.title, message.severity) == (title, Severity.CRITICAL)
    assert ("strategy_name=book takes it back" in message.body) is (problem is None)
    assert (problem is None) or (problem in message.body)


@pytest.mark.parametrize("trigger", ["manual", "watchdog", "reassert"])
def test_secrets_in_problems_do_not_leave(trigger: str) -> None:
    leaky = outcome("rsi", "unavailable", problem="http://ops:hunter2@engine/ failed", record_problem=None)
    message = emergency_message(result(leaky), trigger, "ann", "off")
    assert "hunter2" not in message.body
