"""What the DAGs of the risk control share: who asks, and a record that is kept wherever it can be kept."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dags.wiring.runtime import database, triggering_user
from include.settings import get_settings

if TYPE_CHECKING:
    from pymongo.database import Database

    from include.trading.emergency import RecordState
    from include.trading.engine_commands import EngineCommands
    from include.trading.kill_switch import Order

log = logging.getLogger(__name__)

Context = Mapping[str, Any]

COMMAND_TIMEOUT_S = 5.0
"""A command that the engine has not answered by then is tried again: in an emergency ten seconds are long."""

RECORD_TIMEOUT_S = 3.0
"""MongoDB may hold the emergency up for so long, then the record goes to the spool."""


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

    :ivar db: the database once it was reached, None while MongoDB is away.
    """

    def __init__(self, orders: Mapping[str, Order]) -> None:
        self._orders = orders
        self._away: str | None = None
        self.db: Database[dict[str, Any]] | None = None

    def __call__(self, strategy: str) -> tuple[RecordState, str | None]:
        """Keep one strategy's order; return where, and what went wrong."""
        import pymongo

        from include.trading.kill_switch import set_state

        order = self._orders[strategy]
        if self._away is None:
            try:
                with pymongo.timeout(RECORD_TIMEOUT_S):
                    if self.db is None:
                        self.db = database()
                    _, ours = set_state(self.db, order)
            except Exception as error:  # whatever it is: the strategy must be stopped
                log.exception("the record of %s cannot be written to MongoDB", strategy)
                self._away, self.db = f"{type(error).__name__}: {error}", None
            else:
                return ("stored" if ours else "already"), None
        return self._spooled(order)

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
