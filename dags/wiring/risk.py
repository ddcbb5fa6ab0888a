"""What the DAGs of the risk control share: who asks, a record kept wherever it can be kept, alerts said once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from dags.wiring.runtime import database, triggering_user
from include.settings import get_settings

if TYPE_CHECKING:
    from pymongo.database import Database

    from include.notify.message import Message
    from include.trading.emergency import RecordState
    from include.trading.engine_commands import EngineCommands
    from include.trading.kill_switch import Order

log = logging.getLogger(__name__)

Context = Mapping[str, Any]

COMMAND_TIMEOUT_S = 5.0
"""A command that the engine has not answered by then is tried again: in an emergency ten seconds are long."""

MONGO_TIMEOUT_S = 3.0
"""MongoDB may hold the emergency up for so long, then the record goes to the spool."""

AWAY_TIMEOUT_S = 0.5
"""What a MongoDB that has just failed gets in the same run."""

Answer = TypeVar("Answer")

Said = Literal["now", "lately", "not"]
"""What became of an alert: delivered or kept now, said not long ago, or neither delivered nor kept."""


def commands() -> EngineCommands:
    """Return the commands to the engine, impatient."""
    from include.trading.engine_commands import EngineCommands

    settings = get_settings()
    return EngineCommands(settings.engine_base_url, min(settings.engine_timeout_s, COMMAND_TIMEOUT_S))


def asked_by(context: Context, trigger: str) -> str:
    """Return who is behind this run: a user, or the watchdog."""
    user = triggering_user(context)
    if trigger == "manual":
        return user or "unknown user"
    return "strategy_watchdog" + (f" (started by {user})" if user else "")


class RecordKeeper:
    """Keeps orders in MongoDB, else in the spool; never raises, so that it cannot hold up the engine's call.

    :param orders: by strategy; one without an order has a record already, which this run only carries out.
    :ivar db: the database once it was reached, None while MongoDB is away.
    """

    def __init__(self, orders: Mapping[str, Order]) -> None:
        self._orders = orders
        self._away: str | None = None
        self.db: Database[dict[str, Any]] | None = None

    def __call__(self, strategy: str) -> tuple[RecordState, str | None]:
        """Keep one strategy's order; return where, and what went wrong."""
        from include.trading.kill_switch import set_state

        order = self._orders.get(strategy)
        if order is None:
            return "already", None
        kept = self._through_mongodb(f"writing the record of {strategy}", lambda db: set_state(db, order))
        if kept is None:
            return self._spooled(order)
        return ("stored" if kept[1] else "already"), None

    def enabled_since(self, strategies: Sequence[str], since: datetime | None) -> frozenset[str]:
        """Return those that a person has enabled after `since` (None: at whatever time).

        None of them while MongoDB is away: nobody can enable anything then.
        """
        from include.trading.kill_switch import read_records

        records = self._through_mongodb("reading the kill switches", read_records) or {}
        found = (records[name] for name in strategies if name in records)
        return frozenset(
            record.strategy for record in found if not record.disabled and (since is None or record.changed_at > since)
        )

    def note(self, strategy: str, answer: Mapping[str, Any], task_id: str, try_number: int) -> None:
        """Keep what the engine answered to the order to stop; without it the watchdog only asks once more."""
        from include.trading.kill_switch import note_engine

        self._through_mongodb(
            f"writing what the engine answered about {strategy}",
            lambda db: note_engine(db, strategy, "disabled", answer, task_id, try_number),
        )

    def _through_mongodb(self, action: str, use: Callable[[Database[dict[str, Any]]], Answer]) -> Answer | None:
        """Do something in MongoDB; None when that failed, or when MongoDB has failed this run before."""
        import pymongo

        if self._away is not None:
            return None
        try:
            with pymongo.timeout(MONGO_TIMEOUT_S):
                if self.db is None:
                    self.db = database()
                return use(self.db)
        except Exception as error:  # whatever it is: the strategy must be stopped
            log.exception("MongoDB failed while %s", action)
            self._away, self.db = f"{type(error).__name__}: {error}", None
            return None

    def _spooled(self, order: Order) -> tuple[RecordState, str | None]:
        from include.notify.scrub import scrub
        from include.store.collections import KILL_SWITCH_HISTORY
        from include.store.durable import spool_of

        away = scrub(self._away or "")
        try:
            spool_of(get_settings()).append(KILL_SWITCH_HISTORY, order.event(changed=True, version=None, applied=False))
        except Exception as error:  # see above
            log.exception("the record of %s cannot be spooled either", order.strategy)
            return "not_kept", f"{away}; {scrub(str(error))}"
        return "spooled", away


def said(message: Message, *, away: bool = False) -> bool:
    """Send an alert; return whether it is delivered, or kept for another try. What was done before stays done.

    :param away: MongoDB has failed in this run already, so the alert does not wait for it once more.
    """
    from contextlib import nullcontext

    import pymongo

    from dags.wiring.runtime import send
    from include.errors import TransientError

    try:
        with pymongo.timeout(AWAY_TIMEOUT_S) if away else nullcontext():
            send(message)
    except TransientError:
        log.exception("the alert %r was tried on every channel and cannot be kept for another try", message.title)
        return False
    return True


def said_once(
    db: Database[dict[str, Any]] | None, key: str, situation: str, message: Callable[[str], Message], now: datetime
) -> Said:
    """Send an alert unless it was said lately and nothing has changed since.

    It is remembered once it is delivered or kept: what is neither is said again by the next check. While MongoDB is
    away nobody remembers, and the hour in its dedupe key keeps it from being said more often.

    :param key: what it is about, for instance `book`.
    :param situation: equal as long as nothing has changed.
    :param message: makes the message of a number, which its dedupe key holds.
    """
    import pymongo

    from include.errors import ServiceUnavailableError
    from include.trading import risk_state

    try:
        if db is None:
            raise ServiceUnavailableError("MongoDB is away")
        with pymongo.timeout(MONGO_TIMEOUT_S):
            number = risk_state.due(db, key, situation, now, get_settings().risk_alert_repeat_s)
    except ServiceUnavailableError as error:
        log.warning("whether %s was said lately is not known: %s", key, error)
        return "now" if said(message(f"{situation}:{now:%Y%m%d%H}"), away=True) else "not"
    if number is None:
        return "lately"
    if not said(message(str(number))):
        return "not"
    try:
        with pymongo.timeout(MONGO_TIMEOUT_S):
            risk_state.said(db, key, situation, number, now)
    except ServiceUnavailableError as error:
        log.warning("the next check says the same message about %s again, which nobody gets twice: %s", key, error)
    return "now"


def said_unless_repeated(
    db: Database[dict[str, Any]] | None, key: str, situation: str, message: Message, *, repeated: bool
) -> bool:
    """Send the alert at the end of a run; return whether it is delivered, kept, or was said lately.

    :param situation: what has failed; empty: nothing has.
    :param repeated: the watchdog has tried it again: a failure is then said once in a while, not every five minutes.
    """
    import pymongo

    from include.errors import ServiceUnavailableError
    from include.trading.risk_state import over

    if repeated and situation:
        return said_once(db, key, situation, lambda _: message, datetime.now(UTC)) != "not"
    if repeated and db is not None:
        try:
            with pymongo.timeout(MONGO_TIMEOUT_S):
                over(db, key)
        except ServiceUnavailableError as error:
            log.warning("that %s is over could not be recorded: %s", key, error)
    return said(message, away=db is None)


def kept_safely(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """Return the evidence as it can be stored, as text where MongoDB could not take it: it must not stop a kill."""
    import json

    from bson import encode
    from bson.errors import BSONError

    from include.errors import TradingOpsError
    from include.store.documents import storable

    try:
        stored = storable(evidence)
        encode(stored)
    except (TradingOpsError, ValueError, TypeError, OverflowError, RecursionError, BSONError):
        return {"text": json.dumps(dict(evidence), default=str)[:20_000].replace("\x00", "")}
    return stored
