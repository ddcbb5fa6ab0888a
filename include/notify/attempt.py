"""One attempt to hand a message to a channel, of bounded length, and what came of it."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from dataclasses import dataclass

from include.notify.errors import RefusedMessageError
from include.notify.message import Message
from include.notify.scrub import scrub

Sender = Callable[[Message], object]
"""Delivers one message or raises; a text that it returns is kept as a remark."""

DEADLINE_S = 12.0
"""The senders give up after 10 s without an answer; one that gets a byte now and then is left behind here."""
MAX_ERROR_CHARS = 500


@dataclass(frozen=True)
class Outcome:
    """What an attempt led to.

    :param state: `delivered`; `refused` for good; `pending`: it failed and is tried again.
    :param error: why not, in words without secrets.
    :param remark: something to know about a delivery, for instance a recipient that was refused.
    :param retry_after_s: what the service asks to wait.
    """

    state: str
    error: str | None = None
    remark: str | None = None
    retry_after_s: float | None = None


def attempt(sender: Sender, message: Message, deadline_s: float = DEADLINE_S) -> Outcome:
    """Call the sender and return the outcome, after `deadline_s` at the latest; nothing it does is raised."""
    outcomes: list[Outcome] = []
    context = contextvars.copy_context()
    thread = threading.Thread(target=lambda: outcomes.append(context.run(_call, sender, message)), daemon=True)
    thread.start()
    thread.join(deadline_s)
    if outcomes:
        return outcomes[0]
    return Outcome("pending", f"no answer within {deadline_s:g} s: the attempt was left behind")


def _call(sender: Sender, message: Message) -> Outcome:
    try:
        remark = sender(message)
    except RefusedMessageError as error:
        return Outcome("refused", _words(error))
    except BaseException as error:  # noqa: BLE001 - a channel may fail in any way and must hurt nobody else
        wait_s = getattr(error, "retry_after_s", None)
        return Outcome("pending", _words(error), retry_after_s=wait_s)
    return Outcome("delivered", remark=scrub(remark)[:MAX_ERROR_CHARS] if isinstance(remark, str) else None)


def _words(error: BaseException) -> str:
    return scrub(f"{type(error).__name__}: {error}")[:MAX_ERROR_CHARS]
