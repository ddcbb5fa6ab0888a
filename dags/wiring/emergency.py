"""The one task of `emergency_strategy_disable`: record, engine, read back, alert."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dags.wiring.notifier import notify_failure
from dags.wiring.params import run_params
from dags.wiring.retry import last_try
from include.tasks_api.params.risk import EmergencyDisableParams

if TYPE_CHECKING:
    from include.notify.message import Message
    from include.trading.emergency import Outcome

log = logging.getLogger(__name__)

Context = Mapping[str, Any]

RETRY_DELAYS_S = (1.0, 3.0, 6.0)
"""An emergency does not wait a minute; with time-outs of 5 s the last word is spoken after about half a minute."""
RETRIES = len(RETRY_DELAYS_S)

OUTCOMES_KEY = "outcomes"
"""Key in the task state store: what came of an earlier try, by strategy."""


def disable_now(context: Context) -> dict[str, Any]:
    """Disable the run's strategies and return its result; the alert is sent whatever the end.

    :raises include.errors.TransientError: when trying again may help, and tries are left.
    :raises include.trading.kill_switch.StillTradesError: after the alert, when a strategy could not be disabled.
    """
    from datetime import UTC, datetime

    from dags.wiring.risk import RecordKeeper, asked_by, commands, kept_safely
    from include.errors import TransientError
    from include.settings import get_settings
    from include.trading.emergency import disable_strategies, result_of
    from include.trading.kill_switch import Order, StillTradesError

    params, ti, run_id = run_params(EmergencyDisableParams, context), context["ti"], str(context["run_id"])
    by, evidence = asked_by(context, params.trigger), kept_safely(params.evidence)
    earlier = _earlier(context)
    settled = {name: outcome for name, outcome in earlier.items() if outcome.settled}
    now = datetime.now(UTC)
    keeper = RecordKeeper(
        {
            name: Order(name, "disabled", params.reason, by, run_id, now, _evidence_of(name, evidence))
            for name in params.strategies
        }
    )
    fresh = disable_strategies([name for name in params.strategies if name not in settled], commands(), keeper)
    _note(keeper, fresh, run_id, ti.try_number)
    asked = {outcome.strategy: outcome.after(earlier.get(outcome.strategy)) for outcome in fresh}
    outcomes = [settled.get(name) or asked[name] for name in params.strategies]
    open_ones = [outcome for outcome in outcomes if not outcome.settled]
    if open_ones and not last_try(context, RETRIES):
        context["task_state_store"].set(OUTCOMES_KEY, {o.strategy: o.to_dict() for o in outcomes})
        raise TransientError("; ".join(_problem(outcome) for outcome in open_ones) + ": it is tried again at once")
    result = {**result_of(run_id, params.reason, outcomes), "trigger": params.trigger, "asked_by": by}
    failed = [outcome for outcome in outcomes if not outcome.disabled or outcome.record == "not_kept"]
    _alert(result, params.trigger, by, get_settings().blunt_lever, bool(failed), keeper)
    if failed:
        ti.xcom_push("return_value", result)
        raise StillTradesError("; ".join(_problem(outcome) for outcome in failed) + "; the alert says what can be done")
    return result


def notify_unless_told(context: Context) -> None:
    """Say a failure to people, unless the alert has said it (runs in the task's process)."""
    from include.trading.kill_switch import NotFollowedError

    if not isinstance(context.get("exception"), NotFollowedError):
        notify_failure(context)


def _evidence_of(strategy: str, evidence: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a strategy's own part, where the watchdog has disabled several at once."""
    own = evidence.get(strategy)
    return own if isinstance(own, Mapping) else evidence


def _earlier(context: Context) -> dict[str, Outcome]:
    from include.trading.emergency import Outcome

    kept = context["task_state_store"].get(OUTCOMES_KEY, None) or {}
    return {name: Outcome.from_dict(stored) for name, stored in kept.items()}


def _note(keeper: Any, outcomes: list[Outcome], run_id: str, try_number: int) -> None:
    """Keep what the engine answered; without it the watchdog asks the engine again, which does no harm."""
    from include.trading.kill_switch import note_engine

    if keeper.db is None:
        return
    for outcome in outcomes:
        answer = {
            "outcome": outcome.engine,
            "at": outcome.disabled_at or outcome.asked_at,
            "asked_at": outcome.asked_at,
            "verified": outcome.verified,
            "pending_signals_cancelled": outcome.pending_signals_cancelled,
            "problem": outcome.problem,
        }
        try:
            note_engine(keeper.db, outcome.strategy, "disabled", answer, run_id, try_number)
        except Exception:
            log.exception("what the engine answered about %s could not be kept", outcome.strategy)


def _alert(result: dict[str, Any], trigger: str, by: str, lever: str, failed: bool, keeper: Any) -> None:
    """Send the alert. A repeated failure to re-assert is said once in a while, not every five minutes."""
    from datetime import UTC, datetime

    from include.errors import TransientError
    from include.notify.risk_alerts import emergency_message
    from include.settings import get_settings
    from include.trading.risk_state import due, over, said

    message = emergency_message(result, trigger, by, lever)
    key, now = f"emergency:{','.join(sorted(result['strategies']))}", datetime.now(UTC)
    if trigger != "reassert" or keeper.db is None:
        _send(message)
        return
    number: int | None = 0
    try:
        if not failed:
            over(keeper.db, key)
        else:
            situation = ",".join(sorted({outcome["engine"] for outcome in result["strategies"].values()}))
            number = due(keeper.db, key, situation, now, get_settings().risk_alert_repeat_s)
            if number is not None:
                said(keeper.db, key, situation, number, now)
    except TransientError:
        log.exception("whether this was said lately cannot be looked up, so it is said")
    if number is not None:
        _send(message)


def _send(message: Message) -> None:
    """Send the alert; a message that cannot be kept was still tried on every channel, and must not undo the rest."""
    from dags.wiring.runtime import send
    from include.errors import TransientError

    try:
        send(message)
    except TransientError:
        log.exception("the alert was tried on every channel, but cannot be kept for another try")


def _problem(outcome: Outcome) -> str:
    if not outcome.disabled:
        return f"{outcome.strategy} still trades: {outcome.problem}"
    return f"{outcome.strategy} is disabled, but no record of it is kept: {outcome.record_problem}"
