"""The steps of `halt_new_entries`: may it, shall it, do it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dags.wiring.params import run_params
from include.tasks_api.params.risk import HaltNewEntriesParams

if TYPE_CHECKING:
    from include.trading.blunt_lever import Lever
    from include.trading.engine_commands import EngineCommands
    from include.trading.kill_switch import Order, Record

Context = Mapping[str, Any]

CASE_KEY, FORMER_KEY = "case", "former"
"""Key of the XCom that the approver reads; key in the task state store of the values before the lever was pulled."""


def way(context: Context) -> str:
    """Return the task to go on with: the approval, or at once what has been approved before and was undone.

    :raises include.errors.ConfigurationError: while no lever is configured.
    :raises include.errors.BadInputError: for a re-assertion of a halt that is not in the record.
    :raises include.errors.TransientError: for a re-assertion while MongoDB is away.
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

    What is only done again is left alone when a person has taken it back meanwhile.

    :raises airflow.sdk.exceptions.AirflowSkipException: when it was refused.
    :raises include.trading.kill_switch.NotFollowedError: after the message, when the engine did not take it, or when
        no record could be kept; at once when nobody has been asked.
    :raises include.errors.TransientError: when trying again may help.
    """
    from dags.wiring.approval import approver
    from dags.wiring.emergency import RETRIES
    from dags.wiring.retry import last_try
    from dags.wiring.risk import RecordKeeper, asked_by, commands, said_unless_repeated
    from include.errors import ServiceUnavailableError, TradingOpsError, TransientError
    from include.notify.risk_alerts import halted_message
    from include.settings import get_settings
    from include.trading.blunt_lever import DESCRIPTIONS, put, stopped
    from include.trading.kill_switch import NotFollowedError
    from include.trading.strategy_names import BOOK

    params, run_id = run_params(HaltNewEntriesParams, context), str(context["run_id"])
    reassert, who = params.trigger == "reassert", approver(context)
    if not reassert and who is None:
        raise NotFollowedError("new entries are not stopped: nobody has approved it")
    try:
        halted = _halted()
    except ServiceUnavailableError:
        if reassert:
            raise
        halted = None  # the approval counts, and the record waits in the spool
    if reassert and halted is None:
        return {"status": "skipped", "reason": "a person has taken the halt back since", "task_id": run_id}
    if who is None:
        who = halted.by if halted is not None else "unknown"
    lever: Lever = halted.evidence["lever"] if halted is not None else get_settings().blunt_lever  # type: ignore[assignment]
    engine, is_stopped, problem = commands(), False, None
    keeper = RecordKeeper({})
    try:
        if not reassert:
            keeper = RecordKeeper({BOOK: _order(context, who, lever, halted, engine)})
        record, unkept = keeper(BOOK)
        put(engine, lever, stopped(lever))
        is_stopped = True
        if record == "not_kept":
            raise TransientError(f"no record of it could be kept: {unkept}")
    except TransientError as error:
        if not last_try(context, RETRIES):
            raise
        problem = str(error)
    except TradingOpsError as error:
        problem = str(error)
    state = {"outcome": "disabled" if is_stopped else "not_followed", "at": datetime.now(UTC), "problem": problem}
    keeper.note(BOOK, state, run_id, context["ti"].try_number)
    result = {
        "status": "failed" if problem else "success", "stopped": is_stopped, "lever": lever,
        "what": DESCRIPTIONS[lever], "approved_by": who, "reason": params.reason, "problem": problem,
        "asked_by": asked_by(context, params.trigger), "task_id": run_id,
    }  # fmt: skip
    trouble = "" if problem is None else "not kept" if is_stopped else "not followed"
    is_said = said_unless_repeated(keeper.db, "halt", trouble, halted_message(result), repeated=reassert)
    if not is_said and not last_try(context, RETRIES):
        raise TransientError("the message could be neither delivered nor kept")
    if problem:
        raise NotFollowedError(f"new entries are {'stopped, but' if is_stopped else 'not stopped:'} {problem}")
    return result


def _order(context: Context, approver: str, lever: Lever, halted: Record | None, engine: EngineCommands) -> Order:
    """Return the order to stop, with the values that undo it: those before the first try of this run."""
    from dags.wiring.risk import asked_by, kept_safely
    from include.trading.blunt_lever import setting
    from include.trading.kill_switch import Order
    from include.trading.strategy_names import BOOK

    params, store = run_params(HaltNewEntriesParams, context), context["task_state_store"]
    former = halted.evidence["former"] if halted is not None else store.get(FORMER_KEY, None)
    if former is None:
        former = setting(engine, lever)
        store.set(FORMER_KEY, former)
    evidence = {
        **kept_safely(params.evidence), "lever": lever, "former": former,
        "asked_by": asked_by(context, params.trigger),
    }  # fmt: skip
    return Order(BOOK, "disabled", params.reason, approver, str(context["run_id"]), datetime.now(UTC), evidence)


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
    """Return the book's record if it says that new entries are stopped."""
    from dags.wiring.runtime import database
    from include.trading.kill_switch import read_record
    from include.trading.strategy_names import BOOK

    record = read_record(database(), BOOK)
    return record if record is not None and record.disabled else None
