"""The steps of `strategy_watchdog`: look, start what has to be started, say what has to be said."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from dags.wiring.notifier import notify_failure
from dags.wiring.params import run_params
from dags.wiring.runtime import OVER
from include.tasks_api.params.risk import MOST_STRATEGIES, StrategyWatchdogParams, is_strategy

if TYPE_CHECKING:
    from pymongo.database import Database

    from include.trading.day_equity import DayEquity
    from include.trading.kill_switch import Record
    from include.trading.trades import Trade
    from include.trading.watch import Verdict, Watch

log = logging.getLogger(__name__)

Context = Mapping[str, Any]

RETRIES = 2
"""The next check comes in five minutes anyway."""

HISTORY = timedelta(days=30)
"""A malformed trade that closed longer ago is ignored (and logged) instead of blinding the watch for ever."""

CHECKED_KEY = "checked"
"""Key of the XCom with the figures and with what there is to say."""

MOST_REASON_CHARS = 1000
MOST_STARTS = 50
"""How often a run for one situation is started again after it failed without leaving a record."""


def look(context: Context) -> dict[str, Any]:
    """Read the engine, judge, and return `runs` to start, `say` for the last step, and the figures.

    Only the trades are indispensable. Without MongoDB the kill switches are taken as unknown: who meets a condition is
    disabled all the same.

    :raises include.errors.TransientError: when the engine's trades cannot be had: nothing was judged then.
    """
    from dags.wiring.runtime import engine
    from include.settings import get_settings
    from include.trading.risk_rules import Limits
    from include.trading.watch import check

    run_params(StrategyWatchdogParams, context)
    settings, now = get_settings(), datetime.now(UTC)
    trades = engine().closed_trades(since=now - HISTORY)
    db, records = _records()
    equity = _equity(db, trades, now, str(context["run_id"]))
    active, why_not = _active()
    found = check(trades, equity, records, active, Limits.from_settings(settings), now)
    runs = _runs(context, found, records)
    approval = None
    if found.book is not None and settings.blunt_lever != "off":
        approval = _approval(context, found.book, runs)
    if _halt_undone(records):
        runs.append(_run("halt_new_entries", f"rehalt__{context['run_id']}", "an approved halt was undone", "reassert"))
    return {
        "runs": runs,
        "figures": {name: figures.to_dict() for name, figures in found.figures.items()},
        "equity_at_midnight": equity.to_dict(),
        "active": None if active is None else sorted(active),
        "active_unknown": why_not,
        "kill_switches_known": db is not None,
        "say": {
            "at": now.isoformat(),
            "book": _book(found.book),
            "approval": approval,
            "powerless": list(found.powerless),
            "unknown": found.unknown,
        },
    }


def say(checked: dict[str, Any] | None) -> dict[str, Any]:
    """Send what this check has to say and has not said lately; return what became of it."""
    from dags.wiring.risk import said, said_once
    from include.notify import risk_alerts
    from include.settings import get_settings
    from include.trading.risk_state import over

    if checked is None:
        return {}
    lever, told, db = get_settings().blunt_lever, checked["say"], _database()
    now = datetime.fromisoformat(told["at"])
    book, approval, powerless, unknown = told["book"], told["approval"], told["powerless"], told["unknown"]
    sent: dict[str, Any] = {}
    if book is not None:
        reason, evidence = book["reason"], book["evidence"]
        sent["book"] = said_once(
            db, "book", book["situation"],
            lambda number: risk_alerts.book_message(reason, evidence, lever, approval, number, now), now,
        )  # fmt: skip
    if powerless:
        sent["powerless"] = said_once(
            db, "powerless", ",".join(powerless),
            lambda number: risk_alerts.powerless_message(powerless, lever, number, now), now,
        )  # fmt: skip
    if unknown:
        sent["unknown"] = said_once(
            db, "unknown", ",".join(unknown), lambda number: risk_alerts.unknown_message(unknown, number, now), now
        )
    if db is not None:
        for key, still in (("book", book), ("powerless", powerless), ("unknown", unknown)):
            if not still:
                over(db, key)
        since = over(db, "blind")
        if since is not None:
            sent["sees_again"] = said(risk_alerts.sees_again_message(since, now))
    return sent


def notify_blind(context: Context) -> None:
    """Say once in a while, not at every run, that nothing can be judged (runs in the task's process)."""
    from dags.wiring.risk import said_once
    from include.errors import TransientError
    from include.notify.risk_alerts import blind_message

    error = context.get("exception")
    if not isinstance(error, TransientError):
        notify_failure(context)
        return
    now, run_id = datetime.now(UTC), str(context["run_id"])
    said_once(_database(), "blind", "blind", lambda number: blind_message(error, number, now, run_id), now)


def _database() -> Database[dict[str, Any]] | None:
    """Return the database, None while it cannot be used: the watch goes on without it."""
    from dags.wiring.runtime import database

    try:
        return database()
    except Exception as error:  # also a connection that is configured wrongly must not blind the watch
        log.exception("MongoDB cannot be used: %s", type(error).__name__)
        return None


def _records() -> tuple[Database[dict[str, Any]] | None, dict[str, Record]]:
    import pymongo
    from pymongo.errors import PyMongoError

    from dags.wiring.risk import MONGO_TIMEOUT_S
    from include.errors import TransientError
    from include.trading.kill_switch import apply_waiting, read_records

    db = _database()
    if db is None:
        return None, {}
    try:
        with pymongo.timeout(MONGO_TIMEOUT_S):
            apply_waiting(db)
            return db, read_records(db)
    except (TransientError, PyMongoError) as error:
        log.warning("the kill switches are unknown, so everybody is judged: %s", error)
        return None, {}


def _equity(db: Database[dict[str, Any]] | None, trades: Sequence[Trade], now: datetime, run_id: str) -> DayEquity:
    from contextlib import nullcontext

    import pymongo

    from dags.wiring.risk import AWAY_TIMEOUT_S
    from dags.wiring.runtime import engine
    from dags.wiring.storage import keep_row
    from include.errors import ServiceUnavailableError, TransientError
    from include.store.collections import EQUITY_HISTORY
    from include.trading.day_equity import (
        DayEquity,
        EquityPoint,
        equity_at_midnight,
        equity_row,
        first_row_since,
        midnight,
    )

    try:
        first = None if db is None else first_row_since(db, midnight(now))
    except ServiceUnavailableError:
        first = None
    try:
        portfolio = engine().portfolio()
    except TransientError as error:
        if first is None:
            return DayEquity(midnight(now), None, "balance_now", now, f"the engine does not tell its balance: {error}")
        return equity_at_midnight(now, trades, first, 0.0)
    try:
        with nullcontext() if db is not None else pymongo.timeout(AWAY_TIMEOUT_S):  # who must be stopped does not wait
            keep_row(EQUITY_HISTORY, equity_row(run_id, EquityPoint(now, portfolio.current_balance, portfolio.equity)))
    except TransientError:
        log.exception("the equity of this check could not be kept")
    return equity_at_midnight(now, trades, first, portfolio.current_balance)


def _active() -> tuple[frozenset[str] | None, str | None]:
    from dags.wiring.risk import commands
    from include.errors import TransientError

    try:
        active = commands().active_strategies()
    except TransientError as error:
        return None, str(error)
    return active, "the engine has no list of active strategies" if active is None else None


def _runs(context: Context, found: Watch, records: Mapping[str, Record]) -> list[dict[str, Any]]:
    verdicts = {verdict.name: verdict for verdict in found.to_disable}
    runs = [_disabling(context, [verdicts[name] for name in group]) for group in _groups(verdicts)]
    for number, group in enumerate(_groups(found.to_reassert)):
        run = _run(
            "emergency_strategy_disable", f"reassert__{context['run_id']}" + (f"__{number + 1}" if number else ""),
            "active although disabled; " + "; ".join(f"{name}: {records[name].reason}" for name in group),
            "reassert",
        )  # fmt: skip
        run["conf"]["strategy_name"] = ",".join(group)
        runs.append(run)
    return runs


def _groups(names: Collection[str]) -> list[list[str]]:
    """Return the names as runs can take them: as many as fit into one; a name that no run takes hurts no other."""
    known = [name for name in names if is_strategy(name)]
    groups = [known[at : at + MOST_STRATEGIES] for at in range(0, len(known), MOST_STRATEGIES)]
    return [*groups, *([name] for name in names if not is_strategy(name))]


def _disabling(context: Context, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    names = [verdict.name for verdict in verdicts]
    reason = "; ".join(
        verdict.reason if len(names) == 1 else f"{verdict.name}: {verdict.reason}" for verdict in verdicts
    )
    situation = hashlib.sha256("-".join(verdict.situation for verdict in verdicts).encode()).hexdigest()[:12]
    base = f"disable__{re.sub(r'[^A-Za-z0-9.-]', '-', '+'.join(names))[:60]}__{situation}"
    run = _run("emergency_strategy_disable", _free(context, base), reason, "watchdog")
    run["conf"] |= {
        "strategy_name": ",".join(names),
        "evidence": {verdict.name: verdict.evidence for verdict in verdicts},
    }
    return run


def _approval(context: Context, book: Verdict, runs: list[dict[str, Any]]) -> str | None:
    """Ask a person about the book, once per situation; return the run that waits for the answer, None where none does.

    What was refused, or not answered in time, is not asked again: the alert says then how a person can ask.
    """
    ti, dag_id, run_id = context["ti"], "halt_new_entries", f"halt__{book.situation}"
    if not ti.get_dr_count(dag_id=dag_id, run_ids=[run_id]):
        run = _run(dag_id, run_id, book.reason, "watchdog")
        run["conf"]["evidence"] = book.evidence
        runs.append(run)
    elif ti.get_dagrun_state(dag_id=dag_id, run_id=run_id) in OVER:
        return None
    return run_id


def _run(dag_id: str, run_id: str, reason: str, trigger: str) -> dict[str, Any]:
    return {
        "trigger_dag_id": dag_id,
        "trigger_run_id": run_id,
        "conf": {"reason": reason[:MOST_REASON_CHARS], "trigger": trigger},
    }


def _free(context: Context, base: str) -> str:
    """Return the run id of the situation, or its next one when a run for it has failed and left nothing disabled.

    A run that is queued, running or done keeps the situation's id: Airflow starts it once.
    """
    ti = context["ti"]
    for number in range(1, MOST_STARTS):
        run_id = base if number == 1 else f"{base}__{number}"
        if not ti.get_dr_count(dag_id="emergency_strategy_disable", run_ids=[run_id]):
            return run_id
        if ti.get_dagrun_state(dag_id="emergency_strategy_disable", run_id=run_id) != "failed":
            return run_id
    return f"{base}__{context['run_id']}"


def _halt_undone(records: Mapping[str, Record]) -> bool:
    """Tell whether new entries should be stopped and are not: the engine forgets its settings at a restart."""
    from dags.wiring.risk import commands
    from include.errors import TradingOpsError
    from include.trading.blunt_lever import holds
    from include.trading.strategy_names import BOOK
    from include.trading.watch import GRACE

    record = records.get(BOOK)
    if record is None or not record.disabled:
        return False
    if datetime.now(UTC) - record.changed_at < GRACE:
        return False
    try:
        return not holds(commands(), record.evidence["lever"])
    except TradingOpsError as error:
        log.warning("whether new entries are still stopped cannot be seen: %s", error)
        return False


def _book(verdict: Verdict | None) -> dict[str, Any] | None:
    if verdict is None:
        return None
    return {"reason": verdict.reason, "situation": verdict.situation, "evidence": verdict.evidence}
