"""The steps of `replay_pending`: what waits on this host's disk goes to MongoDB, and people hear what went wrong."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from include.audit.collect import CollectReport
    from include.store.replay import ReplayReport

log = logging.getLogger(__name__)

SAID = "trading_ops_spool_alerts"
"""Airflow variable: which alerts about the spool were sent. Neither MongoDB nor the disk may be there to ask."""


def replay_spool() -> dict[str, Any]:
    """Store the spooled results and messages, the audit rows, and the dead letters (in this order); say what is wrong.

    While MongoDB is away nothing is lost and nothing fails: the answer says what waits, and why.
    """
    from datetime import UTC, datetime

    from dags.wiring.runtime import usable_database
    from include.audit.collect import collect
    from include.audit.journal import Journal
    from include.audit.letter import letters_of
    from include.errors import TransientError
    from include.settings import get_settings
    from include.store.durable import NOT_USABLE, spool_of
    from include.store.replay import ReplayReport, replay
    from include.store.spool import Spool
    from include.store.spool_alerts import spool_messages
    from include.store.spool_state import spool_state
    from include.store.whole_file import remove_torn

    settings, db, now = get_settings(), usable_database(), datetime.now(UTC)
    spool, journal, letters_spool = spool_of(settings), Journal.of(settings), letters_of(settings)
    state = spool_state(settings)
    for folder in (spool.folder, journal.folder, letters_spool.folder):
        remove_torn(folder)

    def replayed(waiting: Spool) -> ReplayReport:
        if db is None:
            return ReplayReport(0, 0, state.waiting, (), NOT_USABLE)
        try:
            return replay(waiting, db)
        except TransientError as error:  # the folder itself: the state says so too, and is sent below
            return ReplayReport(0, 0, state.waiting, (), str(error))

    results = replayed(spool)
    # The rows come before the letters, which quote them. A MongoDB that has just failed is not asked again.
    audit = collect(journal, db) if db is not None and results.problem is None else None
    letters = replayed(letters_spool) if audit and audit.problem is None else None
    dropped = journal.dropped()
    damaged = [*results.damaged, *(audit.damaged if audit else ()), *(letters.damaged if letters else ())]
    sent = _tell(spool_messages(state, results, damaged, dropped, now), now)
    if dropped and any("audit_dropped" in key for key in sent):
        journal.forget_dropped()
    return {
        "results": _said(results),
        "audit": _said(audit) if audit else None,
        "dead_letters": _said(letters) if letters else None,
        "audit_rows_dropped": dropped,
        "spool": {"writable": state.writable, "full": state.full, "problem": state.problem, "damaged": state.damaged},
        "alerts": sent,
    }


def _said(report: ReplayReport | CollectReport) -> dict[str, Any]:
    return {**asdict(report), "damaged": list(report.damaged)}


def _tell(alerts: list[Any], now: Any) -> list[str]:
    """Send the alerts that were not sent before; return their keys. One that cannot be sent is tried again."""
    from airflow.sdk import Variable

    from dags.wiring.runtime import send
    from include.store.spool_alerts import not_said, remember

    if not alerts:
        return []
    said = Variable.get(SAID, default={}, deserialize_json=True)
    sent = []
    for message in not_said(alerts, said):
        try:
            send(message)
        except Exception:
            log.exception("the alert %r could not be sent; the next run tries again", message.title)
        else:
            sent.append(message)
    if sent:
        Variable.set(SAID, remember(said, sent, now), serialize_json=True)
    return [message.dedupe_key for message in sent]
