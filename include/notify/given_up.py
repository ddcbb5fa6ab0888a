"""The message that says which messages were not delivered: refused by a service, or expired."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from include.notify.message import Message, Severity

KEY = "given_up:"
MAX_LINES = 20


def given_up_message(documents: Sequence[Mapping[str, Any]]) -> Message:
    """Return the ERROR message about stored messages of which some channels did not take; one for the same ones."""
    lines = []
    for document in documents:
        for channel, state in document["channels"].items():
            if state["state"] in ("refused", "expired"):
                lines.append(
                    f"{document['title']} ({document['severity']}), {channel} {state['state']}: {state['error']}"
                )
    shown = lines[:MAX_LINES] + ([f"… {len(lines) - MAX_LINES} more"] if len(lines) > MAX_LINES else [])
    keys = sorted(f"{document['_id']}|{sorted(document['channels'])}" for document in documents)
    return Message(
        severity=Severity.ERROR,
        title=f"{len(lines)} deliveries were given up",
        body="\n".join([*shown, "The messages themselves are in the collection outbox."]),
        fields={"Messages": str(len(documents)), "Channels": ", ".join(_channels(documents))},
        dedupe_key=KEY + hashlib.sha256("\n".join([*keys, *lines]).encode()).hexdigest()[:32],
    )


def _channels(documents: Sequence[Mapping[str, Any]]) -> list[str]:
    return sorted(
        {
            channel
            for document in documents
            for channel, state in document["channels"].items()
            if state["state"] in ("refused", "expired")
        }
    )
