"""The steps of `halt_new_entries`: may it, shall it, do it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dags.wiring.params import run_params
from include.tasks_api.params.risk import HaltNewEntriesParams

if TYPE_CHECKING:
    from include.trading.blunt_lever import Lever
    from include.trading.kill_switch import Record

log = logging.getLogger(__name__)

Context = Mapping[str, Any]

CASE_KEY = "case"


def way(context: Context) -> str:
    """Return the task to go on with: the approval, or at once what has been approved before and was undone.

    :raises include.errors.ConfigurationError: while no lever is configured.
    :raises include.errors.BadInputError: for a re-assertion of a halt that is not in the record.
    """
    from dags.wiring.approval import TASK_ID
    from dags.wiring.risk import asked_by
    from include.errors import BadInputError, ConfigurationError
    from include.settings import get_settings
    from include.trading.review import halt_body

    params = run_params(HaltNewEntriesParams, context)
    if params.trigger == "reassert":
        if _halted() is None:
            raise BadInputError("new entries are not stopped by the record, so there is nothing to re-assert")
        return "halt"
    lever = get_settings().blunt_lever
    if lever == "off":
        raise ConfigurationError(
            "the blunt lever is switched off: set TRADING_OPS_BLUNT_LEVER=both_directions (or min_confidence) and "
            "restart the workers; it stops all new entries of every strategy"
        )
    body = halt_body(lever, params.evidence, asked_by(context, params.trigger), params.reason)
    context["ti"].xcom_push(CASE_KEY, body)
    return TASK_ID


def halt_now(context: Context) -> dict[str, Any]:
    """Read the former values, record, pull the lever, read back, say so; return the result.

    :raises include.trading.kill_switch.NotFollowedError: after the message, when the engine did not take it.
    :raises include.errors.TransientError: when trying again may help.
    """
    from dags.wiring.approval import answer
    from dags.wiring.emergency import RETRIES
    from dags.wiring.retry import last_try
    from dags.wiring.risk import RecordKeeper, asked_by, commands, kept_safely
    from dags.wiring.runtime import send
    from include.errors import TradingOpsError, TransientError
    from include.notify.risk_alerts import halted_message
    from include.settings import get_settings
    from include.trading.blunt_lever import DESCRIPTIONS, put, setting, stopped
    from include.trading.kill_switch import NotFollowedError, Order, note_engine
    from include.trading.strategy_names import BOOK

    params, run_id, now = run_params(HaltNewEntriesParams, context), str(context["run_id"]), datetime.now(UTC)
    given, halted = answer(context), _halted()
    if params.trigger != "reassert" and (given is None or not given[0]):
        raise NotFollowedError("new entries are not stopped: nobody has approved it")
    approver = given[1] if given is not None else (halted.by if halted is not None else "unknown")
    configured = get_settings().blunt_lever
    lever: Lever = halted.evidence["lever"] if halted is not None else configured  # type: ignore[assignment]
    engine, problem = commands(), None
    keeper: RecordKeeper | None = None
    try:
        former = halted.evidence["former"] if halted is not None else setting(engine, lever)
        evidence = {
            **kept_safely(params.evidence), "lever": lever, "former": former,
            "asked_by": asked_by(context, params.trigger),
        }  # fmt: skip
        keeper = RecordKeeper({BOOK: Order(BOOK, "disabled", params.reason, approver, run_id, now, evidence)})
        keeper(BOOK)
        put(engine, lever, stopped(lever))
    except TransientError as error:
        if not last_try(context, RETRIES):
            raise
        problem = str(error)
    except TradingOpsError as error:
        problem = str(error)
    if keeper is not None and keeper.db is not None:
        state = {"outcome": "not_followed" if problem else "disabled", "at": datetime.now(UTC), "problem": problem}
        note_engine(keeper.db, BOOK, "disabled", state, run_id, context["ti"].try_number)
    result = {
        "status": "failed" if problem else "success", "lever": lever, "what": DESCRIPTIONS[lever],
        "approved_by": approver, "reason": params.reason, "problem": problem, "task_id": run_id,
    }  # fmt: skip
    send(halted_message(result))
    if problem:
        raise NotFollowedError(f"new entries could not be stopped: {problem}")
    return result


def end(context: Context) -> dict[str, Any]:
    """Return the run's result; say a refusal."""
    from dags.wiring.approval import NOBODY, answer
    from dags.wiring.risk import asked_by
    from dags.wiring.runtime import database, send
    from include.notify.risk_alerts import refused_message
    from include.trading.kill_switch import Order, note_refusal
    from include.trading.strategy_names import BOOK

    halted = context["ti"].xcom_pull(task_ids="halt")
    if halted is not None:
        done: dict[str, Any] = halted
        return done
    params, run_id, given = run_params(HaltNewEntriesParams, context), str(context["run_id"]), answer(context)
    who = NOBODY if given is None else given[1]
    evidence = {"asked_by": asked_by(context, params.trigger)}
    note_refusal(database(), Order(BOOK, "disabled", params.reason, who, run_id, datetime.now(UTC), evidence))
    send(refused_message("new entries go on", who, run_id))
    return {"status": "refused", "refused_by": who, "reason": params.reason, "task_id": run_id}


def _halted() -> Record | None:
    """Return the book's record if it says that new entries are stopped; None also while MongoDB is away."""
    from dags.wiring.runtime import database
    from include.errors import ServiceUnavailableError
    from include.trading.kill_switch import read_record
    from include.trading.strategy_names import BOOK

    try:
        record = read_record(database(), BOOK)
    except ServiceUnavailableError as error:
        log.warning("the record of the book is unknown: %s", error)
        return None
    return record if record is not None and record.disabled else None
