"""One worker delivers what waits for one channel: in order, one at a time, until it fails.

Behind a message that fails again and again the next one is tried, once; where that is taken, the channel is well and
the stubborn one is left out for an hour. So no message stops a channel, and after an outage all arrive in order.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pymongo.errors import PyMongoError

from include.errors import BadInputError, ServiceUnavailableError
from include.notify.attempt import Outcome, Sender, attempt
from include.notify.channel_state import ChannelStates, Claim
from include.notify.message import Message
from include.notify.receipts import with_receipt
from include.notify.scrub import excerpt

if TYPE_CHECKING:
    from include.notify.outbox import Outbox
    from include.notify.receipts import Receipts

log = logging.getLogger(__name__)

POLL_S = 0.1
"""Between two looks at a channel that another worker delivers to."""
STUBBORN_AFTER = 6
"""A message that has failed so often, over five minutes at least, may be at fault itself."""
LONGEST_PAUSE_S = 10.0
"""A wait that the service asks for is waited for up to here, when somebody waits for a message."""


@dataclass
class Round:
    """The deliveries to one channel by one call.

    :param until: dedupe key of the message that the caller waits for; None: everything that waits, up to `limit`.
    :param hurry: try at once, even while the channel is left alone after a failure.
    :param end: `time.monotonic()` after which no attempt is begun.
    """

    channel: str
    sender: Sender
    outbox: Outbox
    states: ChannelStates
    receipts: Receipts | None
    now: Callable[[], datetime]
    limit: int
    until: str | None
    hurry: bool
    end: float
    outcomes: list[tuple[str, Outcome]] = field(default_factory=list)
    """Dedupe key and outcome of each attempt, whether it could be recorded or not."""
    outage: Exception | None = None

    def run(self) -> None:
        """Deliver; that MongoDB is away, or refuses us, is kept in `outage`."""
        try:
            claim = self._take()
            if claim is None:
                return
            try:
                self._deliver_all(claim)
            finally:
                self.states.release(claim)
        except (ServiceUnavailableError, PyMongoError) as error:
            self.outage = error

    def _take(self) -> Claim | None:
        while True:
            claim = self.states.claim(self.channel)
            if claim is not None or self.until is None or time.monotonic() >= self.end or self._settled():
                return claim
            time.sleep(POLL_S)

    def _settled(self) -> bool:
        return self.until is not None and not self.outbox.waits(self.until, self.channel)

    def _deliver_all(self, claim: Claim) -> None:
        stubborn: str | None = None
        """Dedupe key of a message that has failed often: whether it or the channel is at fault, the next one shows."""
        for _ in range(self.limit):
            if time.monotonic() >= self.end or not self._is_allowed(claim, at_once=stubborn is not None):
                return
            document = self.outbox.next_waiting(self.channel, () if stubborn is None else (stubborn,))
            if document is None:
                return
            outcome = self._deliver(document)
            self.outcomes.append((document["_id"], outcome))
            self.outbox.record(document, self.channel, outcome)
            self.states.note(claim, outcome)
            if outcome.state != "pending":
                if stubborn is not None:
                    self.outbox.postpone(stubborn, self.channel)
                if self.until is not None and self.until in (document["_id"], stubborn):
                    return
                stubborn = None
            elif stubborn is not None:
                return
            elif outcome.retry_after_s is None:
                attempts = document["channels"][self.channel].get("attempts", 0) + 1
                if attempts < STUBBORN_AFTER:
                    return
                stubborn = document["_id"]

    def _is_allowed(self, claim: Claim, at_once: bool) -> bool:
        return self.states.renew(claim) is not None if at_once else self._wait_until_allowed(claim)

    def _wait_until_allowed(self, claim: Claim) -> bool:
        """Return whether this worker still has the channel and may try it now."""
        state = self.states.renew(claim)
        if state is None:
            return False
        pause_s = state.pause_s(self.now(), self.hurry)
        if pause_s == 0:
            return True
        bearable = min(LONGEST_PAUSE_S, self.end - time.monotonic())
        if not state.asked_to_wait or self.until is None or pause_s > bearable:
            return False
        time.sleep(pause_s)
        return self.states.renew(claim) is not None

    def _deliver(self, document: dict[str, Any]) -> Outcome:
        key = document["_id"]
        if self.receipts is not None and self.receipts.has(key, self.channel):
            return Outcome("delivered", remark="accepted before, when it could not be recorded")
        try:
            message = Message.from_dict(document)
        except (BadInputError, KeyError, TypeError, ValueError) as error:
            return Outcome("refused", f"the stored message cannot be read ({type(error).__name__}: {excerpt(error)})")
        outcome = attempt(with_receipt(self.sender, self.receipts, self.channel), message)
        if outcome.state != "delivered":
            log.warning("message %r could not be delivered to %s: %s", message.title, self.channel, outcome.error)
        return outcome
