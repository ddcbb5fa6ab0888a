"""What people are told about the spool, and how often: once a day per problem, once per outage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from include.notify.message import Message, Severity

if TYPE_CHECKING:
    from include.store.replay import ReplayReport
    from include.store.spool_state import SpoolState


def spool_messages(
    state: SpoolState, report: ReplayReport, damaged: Sequence[str], audit_dropped: int, now: datetime
) -> list[Message]:
    """Return what there is to say after a replay.

    :param state: the spool as it was before the replay.
    :param damaged: names of the files that were set aside, the results', the letters' and the audit rows'.
    :param audit_dropped: audit rows and letters that could not be kept since that was said last.
    """
    day = f"{now:%Y-%m-%d}"
    messages = []
    if state.problem is not None:
        kind = "full" if state.full else "not_writable" if not state.writable else "unreadable"
        messages.append(
            Message(
                Severity.CRITICAL,
                "Results cannot be spooled" if state.full or not state.writable else "The spool cannot be read",
                state.problem,
                f"spool:{kind}:{day}",
                {"Waiting": str(state.waiting), "Size": f"{state.bytes / 1e6:.1f} MB"},
            )
        )
    if damaged:
        messages.append(
            Message(
                Severity.CRITICAL,
                f"{len(damaged)} spooled document(s) are damaged",
                "They could not be stored and were moved to a subfolder `damaged` in the spool; look at each, repair "
                f"it and move it back, or delete it: {', '.join(damaged[:20])}",
                f"spool:damaged:{damaged[0]}",
            )
        )
    if report.problem is not None and report.waiting:
        since = state.oldest_at or now
        messages.append(
            Message(
                Severity.WARNING,
                "Results wait for MongoDB",
                f"{report.waiting} document(s) wait in the spool and are stored once MongoDB is back: {report.problem}",
                f"spool:waiting:{since.isoformat()}",
                {"Oldest since": f"{since:%Y-%m-%d %H:%M:%S} UTC"},
            )
        )
    if audit_dropped:
        messages.append(
            Message(
                Severity.WARNING,
                "Audit rows were dropped",
                f"{audit_dropped} audit row(s) or dead letter(s) found no room in the spool, or could not be written "
                "there. Bring MongoDB back, free space, or raise TRADING_OPS_SPOOL_MAX_MB.",
                f"spool:audit_dropped:{day}",
            )
        )
    return messages


def not_said(messages: list[Message], said: Mapping[str, str]) -> list[Message]:
    """Return the messages whose key was not said before.

    :param said: dedupe key -> when, as :func:`remember` made it.
    """
    return [message for message in messages if message.dedupe_key not in said]


def remember(said: Mapping[str, str], messages: list[Message], now: datetime, most: int = 50) -> dict[str, str]:
    """Return what was said by now, the newest `most` of it."""
    known = {**said, **{message.dedupe_key: now.isoformat() for message in messages}}
    return dict(sorted(known.items(), key=lambda item: item[1])[-most:])
