"""The steps of `enable_strategy`: the case, a person's answer, the record, the engine."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dags.wiring.params import run_params
from include.tasks_api.params.risk import EnableStrategyParams

if TYPE_CHECKING:
    from pymongo.database import Database

    from include.trading.engine_commands import EngineCommands
    from include.trading.kill_switch import Record

Context = Mapping[str, Any]

VERSION_KEY = "version"
"""Key of the XCom with the version of the record that the case is about."""


def case_for(context: Context) -> str:
    """Return what the approver reads; leave the version of the record that it is about as XCom.

    :raises include.errors.BadInputError: when there is nothing to enable.
    :raises include.errors.TransientError: when MongoDB or the engine is away: nobody should decide blindly.
    """
    from dags.wiring.risk import asked_by
    from dags.wiring.runtime import database, engine
    from dags.wiring.strategy_watch import HISTORY
    from include.settings import get_settings
    from include.trading.day_equity import equity_at_midnight, first_row_since, midnight
    from include.trading.review import enable_body
    from include.trading.strategy_figures import figures_of
    from include.trading.strategy_names import BOOK

    params = run_params(EnableStrategyParams, context)
    db, now, client = database(), datetime.now(UTC), engine()
    record = _disabled(db, params.strategy_name)
    trades = client.closed_trades(since=now - HISTORY)
    first = first_row_since(db, midnight(now))
    equity = equity_at_midnight(now, trades, first, client.portfolio().current_balance)
    own = [trade for trade in trades if params.strategy_name in (BOOK, trade.strategy)]
    last = get_settings().win_rate_trades
    figures = figures_of(params.strategy_name, own, equity, last)
    since = figures_of(params.strategy_name, own, equity, last, record.changed_at)
    context["ti"].xcom_push(VERSION_KEY, record.version)
    return enable_body(record, figures.to_dict(), since.to_dict(), asked_by(context, "manual"), params.reason)


def enable_now(case: str, context: Context) -> dict[str, Any]:
    """Change the record in the approver's name, tell the engine, read back, say so; return the result.

    :raises airflow.sdk.exceptions.AirflowSkipException: when it was refused.
    :raises include.trading.kill_switch.NotFollowedError: after the message, when the engine cannot be told; at once
        when nobody has been asked.
    :raises include.errors.BadInputError: when it has been stopped again since the case was written.
    :raises include.errors.TransientError: when it may be told later; the record is changed already, and stays so.
    """
    from dags.wiring.approval import approver
    from dags.wiring.risk import asked_by, commands
    from dags.wiring.runtime import database, send
    from include.errors import TradingOpsError, TransientError
    from include.notify.risk_alerts import enabled_message
    from include.trading.emergency import stamp
    from include.trading.engine_commands import EndpointMissingError
    from include.trading.kill_switch import NotFollowedError, Order, note_engine, read_record, set_state

    params, run_id, now = run_params(EnableStrategyParams, context), str(context["run_id"]), datetime.now(UTC)
    who = approver(context)
    if who is None:
        raise NotFollowedError(f"{params.strategy_name} is not enabled: nobody has approved it")
    name, db = params.strategy_name, database()
    before = read_record(db, name)
    _require_unchanged(context, before)
    disabled_for, never_stopped = _then(context, before)
    former = _former(context, before)
    evidence = {"asked_by": asked_by(context, "manual"), "case": case}
    record, _ = set_state(db, Order(name, "enabled", params.reason, who, run_id, now, evidence))
    problem: str | None = None
    try:
        _tell_engine(name, former, commands())
    except TransientError as error:
        from dags.wiring.emergency import RETRIES
        from dags.wiring.retry import last_try

        if not last_try(context, RETRIES):
            raise
        problem = str(error)
    except EndpointMissingError as error:
        # An engine that could not be told to stop it has nothing to be told now: it traded all the time.
        problem = None if never_stopped else str(error)
    except TradingOpsError as error:
        problem = str(error)
    state = {"outcome": "not_followed" if problem else "enabled", "at": datetime.now(UTC), "problem": problem}
    note_engine(db, name, "enabled", state, run_id, context["ti"].try_number)
    result = {
        "status": "failed" if problem else "success",
        "strategy": name,
        "approved_by": who,
        "reason": params.reason,
        "disabled_reason": disabled_for,
        "enabled_at": stamp(record.changed_at),
        "problem": problem,
        "task_id": run_id,
    }
    send(enabled_message(result))
    if problem:
        context["ti"].xcom_push("return_value", result)
        raise NotFollowedError(f"{name} is enabled in the record, but the engine could not be told: {problem}")
    return result


def end(context: Context) -> dict[str, Any]:
    """Return the run's result; say a refusal."""
    from dags.wiring.risk import asked_by
    from dags.wiring.runtime import database, send
    from include.notify.risk_alerts import refused_message
    from include.trading.kill_switch import Order, note_refusal

    enabled = context["ti"].xcom_pull(task_ids="enable")
    if enabled is not None:
        done: dict[str, Any] = enabled
        return done
    from dags.wiring.approval import NOBODY, answer

    params, run_id = run_params(EnableStrategyParams, context), str(context["run_id"])
    given = answer(context)
    who = NOBODY if given is None else given[1]
    evidence = {"asked_by": asked_by(context, "manual")}
    note_refusal(
        database(), Order(params.strategy_name, "enabled", params.reason, who, run_id, datetime.now(UTC), evidence)
    )
    send(refused_message(f"{params.strategy_name} stays disabled", who, run_id))
    return {
        "status": "refused", "strategy": params.strategy_name, "refused_by": who, "reason": params.reason,
        "task_id": run_id,
    }  # fmt: skip


def _disabled(db: Database[dict[str, Any]], name: str) -> Record:
    from dags.wiring.storage import stored_by_now
    from include.errors import BadInputError
    from include.trading.kill_switch import apply_waiting, read_records

    apply_waiting(stored_by_now(db))  # it may have been stopped while MongoDB was away
    records = read_records(db)
    record = records.get(name)
    if record is None or not record.disabled:
        disabled = ", ".join(sorted(other for other, its in records.items() if its.disabled)) or "nothing"
        raise BadInputError(f"{name} is not disabled, so there is nothing to enable; disabled: {disabled}")
    return record


def _require_unchanged(context: Context, before: Record | None) -> None:
    """Refuse an approval of something else than what holds now: nobody has seen why it was stopped since."""
    from include.errors import BadInputError

    shown = context["ti"].xcom_pull(task_ids="review", key=VERSION_KEY)
    if before is not None and before.disabled and before.version != shown:
        raise BadInputError(
            f"{before.strategy} was stopped again after this case was written ({before.changed_at:%Y-%m-%d %H:%M} UTC, "
            f"by {before.by}: {before.reason:.200}), so it stays stopped: start enable_strategy again"
        )


def _then(context: Context, before: Record | None) -> tuple[str, bool]:
    """Return why it was stopped, and whether the engine never could; kept for a retry, when the record has moved on."""
    store = context["task_state_store"]
    if before is not None and before.disabled:
        never_stopped = before.engine.get("outcome") == "not_supported"
        store.set("then", {"reason": before.reason, "never_stopped": never_stopped})
    then = store.get("then", None) or {}
    return str(then.get("reason", "unknown")), bool(then.get("never_stopped", False))


def _former(context: Context, before: Record | None) -> dict[str, Any] | None:
    """Return the lever and the values that undo it; kept for a retry, when the record has moved on."""
    from include.trading.strategy_names import BOOK

    store = context["task_state_store"]
    if before is not None and before.disabled and before.strategy == BOOK:
        store.set("former", {"lever": before.evidence["lever"], "values": before.evidence["former"]})
    kept: dict[str, Any] | None = store.get("former", None)
    return kept


def _tell_engine(name: str, former: Mapping[str, Any] | None, engine: EngineCommands) -> None:
    from include.errors import ServiceUnavailableError
    from include.trading.blunt_lever import put
    from include.trading.strategy_names import BOOK

    if name == BOOK:
        if former is not None:
            put(engine, former["lever"], former["values"])
        return
    engine.enable_strategy(name)
    active = engine.active_strategies()
    if active is not None and name not in active:
        raise ServiceUnavailableError(f"the engine accepted it, but does not list {name} as active")
