"""What is wrong with delivery and storage: the outbox's channels and the local spool."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from include.health.entry import Finding, Level

if TYPE_CHECKING:
    from include.notify.outbox_state import OutboxState
    from include.store.spool_state import SpoolState

OUTBOX, SPOOL = "Outbox", "Spool"
PATIENCE = timedelta(minutes=10)
"""What waits for less is on its way: the replay runs every minute."""


def outbox_findings(state: OutboxState, now: datetime) -> list[Finding]:
    """Return warnings about channels that take nothing, messages that wait for long, and messages given up."""
    found = []
    if state.silent_channels:
        names = ", ".join(f"{silent.channel} (since {_at(silent.since)})" for silent in state.silent_channels)
        found.append(_warning(OUTBOX, "silent", f"⚠️ Channels that take no messages: {names}"))
    waiting = sum(state.waiting.values())
    if waiting and state.oldest_at is not None and now - state.oldest_at > PATIENCE:
        counts = ", ".join(f"{channel} {count}" for channel, count in sorted(state.waiting.items()) if count)
        text = f"⚠️ Messages waiting since {_at(state.oldest_at)}: {counts}"
        found.append(_warning(OUTBOX, "waiting", text))
    if state.unheard_critical:
        text = f"⚠️ CRITICAL messages that have reached nobody: {'; '.join(state.unheard_critical)}"
        found.append(_warning(OUTBOX, "unheard", text))
    if state.expired_24h or state.refused_24h:
        text = f"⚠️ Messages not delivered in 24 hours: {state.expired_24h} expired, {state.refused_24h} refused"
        found.append(_warning(OUTBOX, "lost", text))
    return found


def spool_findings(state: SpoolState, now: datetime) -> list[Finding]:
    """Return what is wrong with the spool; one that takes nothing is critical: the next outage would lose results."""
    found = []
    if not state.writable or state.full:
        text = f"❌ Spool: {state.problem or 'takes no documents'}"
        found.append(Finding(SPOOL, "full" if state.full else "unwritable", Level.CRITICAL, text))
    elif state.problem:
        found.append(_warning(SPOOL, "problem", f"⚠️ Spool: {state.problem}"))
    if state.damaged:
        text = f"⚠️ Spool: {state.damaged} damaged documents were set aside; a person has to look at them"
        found.append(_warning(SPOOL, "damaged", text))
    if state.waiting and state.oldest_at is not None and now - state.oldest_at > PATIENCE:
        text = f"⚠️ Spool: {state.waiting} documents wait for MongoDB since {_at(state.oldest_at)}"
        found.append(_warning(SPOOL, "waiting", text))
    return found


def outbox_figures(state: OutboxState | None) -> dict[str, Any] | None:
    """Return the outbox's figures for the report; None when they could not be read."""
    if state is None:
        return None
    return {
        "waiting": dict(state.waiting),
        "oldest_at": state.oldest_at and _at(state.oldest_at),
        "expired_24h": state.expired_24h,
        "refused_24h": state.refused_24h,
        "silent_channels": [str(silent) for silent in state.silent_channels],
    }


def spool_figures(state: SpoolState) -> dict[str, Any]:
    """Return the spool's figures for the report."""
    return {
        "waiting": state.waiting,
        "bytes": state.bytes,
        "oldest_at": state.oldest_at and _at(state.oldest_at),
        "writable": state.writable,
        "full": state.full,
        "damaged": state.damaged,
        "problem": state.problem,
    }


def _warning(subject: str, code: str, text: str) -> Finding:
    return Finding(subject, code, Level.WARNING, text)


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
