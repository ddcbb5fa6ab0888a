"""The messages of the risk control: what was stopped, what still trades, and what a person can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from include.notify.message import Message, Severity

STOP_BY_HAND = (
    "Or stop the engine by hand (its process, or POST /api/paper-trading/stop), knowing that its stop-loss and "
    "take-profit monitor stops with it: close or watch the open positions then."
)


def emergency_message(result: Mapping[str, Any], trigger: str, asked_by: str, lever: str) -> Message:
    """Return the alert about an emergency disable: CRITICAL, or WARNING when all was disabled before already.

    :param result: of `include.trading.emergency.result_of`.
    :param lever: the setting `blunt_lever`.
    """
    strategies: Mapping[str, Mapping[str, Any]] = result["strategies"]
    failed = [name for name, outcome in strategies.items() if outcome["engine"] != "disabled"]
    already = [name for name, outcome in strategies.items() if outcome["record"] == "already"]
    lines = [f"Reason: {result['reason']}", *(_line(name, outcome) for name, outcome in strategies.items())]
    unkept = [name for name, outcome in strategies.items() if outcome["record"] == "not_kept"]
    if unkept:
        lines.append(
            f"NO RECORD of {_list(unkept)} could be kept, neither in MongoDB nor in the spool "
            f"({strategies[unkept[0]]['record_problem']}): after a restart the engine would trade it again and nobody "
            "would know. Bring MongoDB back and start emergency_strategy_disable again."
        )
    if failed:
        lines += [f"What to do: {step}" for step in what_a_person_can_do(lever)]
    else:
        lines.append("Open positions are left to complete. It stays disabled until a person starts enable_strategy.")
    severity = Severity.CRITICAL
    if failed:
        title = f"EMERGENCY: {_list(failed)} could NOT be disabled, the engine still trades"
    elif trigger == "reassert":
        title = f"{_list(list(strategies))} was active again and has been disabled again"
        lines.insert(0, "The engine forgets at a restart what was disabled; it may have traded in between.")
    elif already == list(strategies):
        severity, title = Severity.WARNING, f"{_list(already)} was disabled already, the engine was told again"
    else:
        title = f"EMERGENCY: {_list(list(strategies))} disabled"
    return Message(
        severity=severity,
        title=title,
        body="\n".join(lines),
        fields={
            "Strategies": _list(list(strategies)),
            "Disabled": _list([name for name in strategies if name not in failed]) or "none",
            "Pending signals cancelled": str(result["pending_signals_cancelled"]),
            "Asked for by": asked_by,
            "Run": str(result["task_id"]),
        },
        dedupe_key=f"emergency_disable:{result['task_id']}:{result['status']}",
    )


def what_a_person_can_do(lever: str) -> list[str]:
    """Return the ways to stop entries when the engine cannot disable one strategy."""
    if lever == "off":
        first = (
            "all new entries can be stopped by halt_new_entries, which is switched off: set "
            "TRADING_OPS_BLUNT_LEVER=both_directions (or min_confidence), restart the workers, start halt_new_entries."
        )
    else:
        first = f"start halt_new_entries (lever {lever}) and approve it: it stops all new entries, of every strategy."
    return [first, STOP_BY_HAND]


def powerless_message(names: Sequence[str], lever: str, number: int, now: datetime) -> Message:
    """Return the repeated CRITICAL alert about strategies that must not trade and that the engine cannot disable."""
    lines = [f"{_list(names)} is recorded as disabled, and the engine has no way to do it: it may still trade."]
    lines += [f"What to do: {step}" for step in what_a_person_can_do(lever)]
    return Message(
        severity=Severity.CRITICAL,
        title=f"{_list(names)} should be disabled, but the engine still trades",
        body="\n".join(lines),
        fields={"Strategies": _list(names)},
        dedupe_key=f"risk:powerless:{number}",
        created_at=now,
    )


def book_message(
    reason: str, evidence: Mapping[str, Any], lever: str, approval_run: str | None, number: str, now: datetime
) -> Message:
    """Return the CRITICAL alert about the whole book.

    :param approval_run: the run of `halt_new_entries` that waits for an approval; None where there is none.
    """
    figures = evidence["figures"]
    lines = [f"{condition['reason']} (limit {condition['threshold']:g})" for condition in evidence["conditions"]]
    lines.append("Trades without a strategy's name disable nothing by themselves: a person has to decide.")
    if approval_run is not None:
        lines.append(
            f"What to do: halt_new_entries run {approval_run} waits under Required Actions in Airflow; approving it "
            f"stops all new entries (lever {lever}), open positions complete."
        )
    else:
        lines += [f"What to do: {step}" for step in what_a_person_can_do(lever)]
    return Message(
        severity=Severity.CRITICAL,
        title=f"The whole book is in trouble: {reason}",
        body="\n".join(lines),
        fields={
            "Trades judged": str(figures["trades"]),
            "PnL since 00:00 UTC": _usdt(figures["daily_pnl_usdt"]),
            "Losses in a row": str(figures["losing_streak"]),
            f"Win rate, last {figures['win_rate_trades']}": _pct(figures["win_rate_pct"]),
            "Newest trades": ", ".join(evidence["conditions"][0]["trade_ids"][-5:]),
        },
        dedupe_key=f"risk:book:{number}",
        created_at=now,
    )


def blind_message(error: BaseException | None, number: str, now: datetime, run_id: str) -> Message:
    """Return the ERROR message of a watchdog that could not look: neither alarm nor all-clear."""
    return Message(
        severity=Severity.ERROR,
        title="The strategy watchdog is blind: nobody knows how the strategies do",
        body=f"{type(error).__name__}: {error}\nNothing was judged. It looks again at its next run, every 5 minutes; "
        "strategies that were disabled stay recorded so.",
        fields={"Run": run_id},
        dedupe_key=f"risk:blind:{number}",
        created_at=now,
    )


def sees_again_message(since: datetime, now: datetime) -> Message:
    """Return the INFO message after a blind time."""
    minutes = (now - since).total_seconds() / 60
    return Message(
        severity=Severity.INFO,
        title="The strategy watchdog sees again",
        body=f"It had been blind since {since:%Y-%m-%d %H:%M} UTC ({minutes:.0f} minutes).",
        dedupe_key=f"risk:sees_again:{since.isoformat(timespec='seconds')}",
        created_at=now,
    )


def unknown_message(unknown: Mapping[str, str], number: int, now: datetime) -> Message:
    """Return the WARNING about figures that could not be computed, so that no silence is taken for health."""
    return Message(
        severity=Severity.WARNING,
        title=f"The daily loss of {_list(list(unknown))} is not known",
        body="\n".join(f"{name}: {reason}" for name, reason in unknown.items())
        + "\nThe other conditions are still watched.",
        dedupe_key=f"risk:unknown:{number}",
        created_at=now,
    )


def enabled_message(result: Mapping[str, Any]) -> Message:
    """Return the WARNING that a strategy (or the book) may trade again, or that the engine could not be told.

    :param result: `strategy, status, approved_by, reason, disabled_reason, problem, task_id`.
    """
    name, problem = str(result["strategy"]), result["problem"]
    subject = "New entries are" if name == "book" else f"{name} is"
    lines = [
        f"Approved by {result['approved_by']}: {result['reason']}",
        f"It had been stopped for: {result['disabled_reason']}",
        "Only trades that close from now on are judged by the watchdog.",
    ]
    if problem:
        lines.append(f"The engine could not be told: {problem}")
    return Message(
        severity=Severity.ERROR if problem else Severity.WARNING,
        title=f"{subject} enabled again" + (" in the record, but the engine was not told" if problem else ""),
        body="\n".join(lines),
        fields={"Strategy": name, "Approved by": str(result["approved_by"]), "Run": str(result["task_id"])},
        dedupe_key=f"enable:{result['task_id']}:{result['status']}",
    )


def refused_message(what: str, answered_by: str, task_id: str) -> Message:
    """Return the WARNING that an approval was refused, or not answered in time; nothing has changed."""
    return Message(
        severity=Severity.WARNING,
        title=f"Refused: {what}",
        body=f"{answered_by} refused it; nothing was changed.",
        fields={"Answered by": answered_by, "Run": task_id},
        dedupe_key=f"refused:{task_id}:{what}",
    )


def halted_message(result: Mapping[str, Any]) -> Message:
    """Return the CRITICAL message that all new entries are stopped, or could not be.

    :param result: `status, stopped, lever, what, approved_by, reason, problem, task_id`.
    """
    stopped, problem = result["stopped"], result["problem"]
    lines = [f"Reason: {result['reason']}", f"Approved by {result['approved_by']}."]
    if not stopped:
        lines += [f"The engine did not take it: {problem}", f"What to do: {STOP_BY_HAND}"]
    elif problem:
        lines += [
            f"Lever {result['lever']}: {result['what']}.",
            f"But {problem}",
            "What to do: nobody but you knows of it, and enable_strategy cannot take it back. Bring MongoDB back, then "
            "start halt_new_entries again, or put the engine's settings back by hand.",
        ]
    else:
        lines += [
            f"Lever {result['lever']}: {result['what']}.",
            "Open positions keep their stops and complete. enable_strategy with strategy_name=book takes it back.",
        ]
    title = "All new entries are stopped" if stopped else "New entries could NOT be stopped"
    return Message(
        severity=Severity.CRITICAL,
        title=f"{title}, but no record of it is kept" if stopped and problem else title,
        body="\n".join(lines),
        fields={"Lever": str(result["lever"]), "Approved by": str(result["approved_by"]), "Run": result["task_id"]},
        dedupe_key=f"halt:{result['task_id']}:{result['status']}",
    )


def _line(name: str, outcome: Mapping[str, Any]) -> str:
    record = {
        "stored": "recorded",
        "already": "recorded as disabled before",
        "spooled": "recorded in the spool, because MongoDB is away",
        "not_kept": "not recorded",
    }[outcome["record"]]
    if outcome["engine"] != "disabled":
        return f"{name}: {record}; STILL TRADES: {outcome['problem']}"
    seen = {
        True: "the engine does not list it as active any more",
        None: "the engine confirmed it and has no list of active strategies to check it with",
        False: "not verified",
    }[outcome["verified"]]
    return f"{name}: {record}; disabled: {seen}; {outcome['pending_signals_cancelled']} pending signals cancelled"


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)


def _usdt(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.2f} USDT"


def _pct(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1f}%"
