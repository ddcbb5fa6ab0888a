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
    from dags.wiring.risk import RecordKeeper
    from include.trading.emergency import Outcome

log = logging.getLogger(__name__)

Context = Mapping[str, Any]

RETRY_DELAYS_S = (1.0, 3.0, 6.0)
"""An emergency does not wait a minute; with time-outs of 5 s the last word is spoken after about half a minute."""
RETRIES = len(RETRY_DELAYS_S)

OUTCOMES_KEY, BEGAN_KEY = "outcomes", "began"
"""Keys in the task state store: what came of an earlier try, by strategy, and when the first one began."""


def disable_now(context: Context) -> dict[str, Any]:
    """Disable the run's strategies and return its result; the alert is sent whatever the end.

    A strategy that a person has enabled since this run began (or since the watchdog saw it disabled, where it is only
    told again) is left alone: the later decision stands.

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
    store, now, reassert = context["task_state_store"], datetime.now(UTC), params.trigger == "reassert"
    by, evidence = asked_by(context, params.trigger), kept_safely(params.evidence)
    began, earlier = store.get(BEGAN_KEY, None), _earlier(context)
    orders = {
        name: Order(name, "disabled", params.reason, by, run_id, now, _evidence_of(name, evidence))
        for name in ([] if reassert else params.strategies)
    }
    keeper = RecordKeeper(orders)
    enabled: frozenset[str] = frozenset()
    if reassert or began:
        enabled = keeper.enabled_since(params.strategies, None if reassert else datetime.fromisoformat(began))
    names = [name for name in params.strategies if name not in enabled]
    if not names:
        return _nothing_left(run_id, sorted(enabled))
    settled = {name: outcome for name, outcome in earlier.items() if outcome.settled}
    fresh = disable_strategies([name for name in names if name not in settled], commands(), keeper)
    _note(keeper, fresh, run_id, ti.try_number)
    asked = {outcome.strategy: outcome.after(earlier.get(outcome.strategy)) for outcome in fresh}
    outcomes = [settled.get(name) or asked[name] for name in names]

    def again(why: str) -> TransientError:
        store.set(BEGAN_KEY, began or now.isoformat())
        store.set(OUTCOMES_KEY, {outcome.strategy: outcome.to_dict() for outcome in outcomes})
        return TransientError(f"{why}: it is tried again at once")

    open_ones = [outcome for outcome in outcomes if not outcome.settled]
    if open_ones and not last_try(context, RETRIES):
        raise again("; ".join(_problem(outcome) for outcome in open_ones))
    result = {**result_of(run_id, params.reason, outcomes), "trigger": params.trigger, "asked_by": by}
    failed = [outcome for outcome in outcomes if not outcome.disabled or outcome.record == "not_kept"]
    is_said = _alert(result, params.trigger, by, get_settings().blunt_lever, bool(failed), keeper)
    if not is_said and not last_try(context, RETRIES):
        raise again("the alert could be neither delivered nor kept")
    if failed:
        ti.xcom_push("return_value", result)
        raise StillTradesError("; ".join(_problem(outcome) for outcome in failed) + "; the alert says what can be done")
    return result


def _nothing_left(run_id: str, enabled: list[str]) -> dict[str, Any]:
    why = f"a person has enabled {', '.join(enabled)} since"
    log.warning("%s, so the engine is not told to stop it", why)
    return {
        "status": "skipped", "strategy": enabled[0] if len(enabled) == 1 else enabled, "strategy_disabled": False,
        "reason": why, "pending_signals_cancelled": 0, "task_id": run_id,
    }  # fmt: skip


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


def _note(keeper: RecordKeeper, outcomes: list[Outcome], run_id: str, try_number: int) -> None:
    for outcome in outcomes:
        answer = {
            "outcome": outcome.engine,
            "at": outcome.disabled_at or outcome.asked_at,
            "asked_at": outcome.asked_at,
            "verified": outcome.verified,
            "pending_signals_cancelled": outcome.pending_signals_cancelled,
            "problem": outcome.problem,
        }
        keeper.note(outcome.strategy, answer, run_id, try_number)


def _alert(result: dict[str, Any], trigger: str, by: str, lever: str, failed: bool, keeper: RecordKeeper) -> bool:
    """Send the alert; return whether it is delivered, kept, or was said lately."""
    from dags.wiring.risk import said_unless_repeated
    from include.notify.risk_alerts import emergency_message

    message = emergency_message(result, trigger, by, lever)
    situation = ",".join(sorted({outcome["engine"] for outcome in result["strategies"].values()})) if failed else ""
    names = ",".join(sorted(result["strategies"]))
    return said_unless_repeated(keeper.db, f"emergency:{names}", situation, message, repeated=trigger == "reassert")


def _problem(outcome: Outcome) -> str:
    if not outcome.disabled:
        return f"{outcome.strategy} still trades: {outcome.problem}"
    return f"{outcome.strategy} is disabled, but no record of it is kept: {outcome.record_problem}"
