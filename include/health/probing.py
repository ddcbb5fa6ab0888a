"""Asks all services at the same time; nothing that hangs can keep the answer for long.

Every probe runs in a thread of its own, which is left behind when it hangs: no time-out of a library covers a name
server that does not answer. A service is down when two attempts failed. The second one begins shortly after the first
has failed, or beside it once it has been silent for a third of its time-out: either answer counts. So all is decided
after one and a third time-outs and a moment.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from include.errors import TradingOpsError
from include.health.entry import Entry, down, not_configured
from include.notify.scrub import scrub

Probe = Callable[[float], Entry]
"""Asks one service once; takes the seconds it may take, raises what went wrong."""

RETRY_PAUSE_S = 0.5
"""Between a failure and the second attempt."""
SILENT_SHARE = 1 / 3
"""Of the time-out: an attempt that is silent for so long gets a second one beside it."""
GRACE_S = 0.5
"""What a probe gets beyond its time-out to say why it failed, before it is given up."""
MAX_ERROR_CHARS = 300


@dataclass
class _Service:
    """The attempts at one service."""

    name: str
    probe: Probe
    timeout_s: float
    retry_pause_s: float
    events: queue.SimpleQueue[tuple[str, int, Entry | str]]
    began: list[float] = field(default_factory=list)
    errors: dict[int, str] = field(default_factory=dict)
    second_at: float = 0.0
    entry: Entry | None = None

    def attempt(self) -> None:
        """Start an attempt in a thread of its own."""
        number, now = len(self.began), time.monotonic()
        self.began.append(now)
        if number == 0:
            self.second_at = now + self.timeout_s * SILENT_SHARE

        def work() -> None:
            try:
                outcome: Entry | str = self.probe(self.timeout_s)
            except Exception as error:  # noqa: BLE001 - whatever a probe raises is what is wrong with its service
                outcome = in_words(error)
            self.events.put((self.name, number, outcome))

        threading.Thread(target=work, name=f"probe {self.name}", daemon=True).start()

    def take(self, number: int, outcome: Entry | str) -> None:
        """Take the outcome of an attempt, unless its time was over already."""
        if number in self.errors or self.entry is not None:
            return
        if isinstance(outcome, Entry):
            first_error = {"first_error": self.errors[0]} if 0 in self.errors else {}
            self.entry = replace(outcome, facts={**outcome.facts, **first_error})
        else:
            self._failed(number, outcome)

    def move_on(self, now: float) -> None:
        """Give up attempts whose time is over, start the second one when it is due."""
        for number, began in enumerate(self.began):
            if number not in self.errors and now >= began + self.timeout_s + GRACE_S:
                self._failed(number, f"no answer within {self.timeout_s:g} s")
        if self.entry is None and len(self.began) == 1 and now >= self.second_at:
            self.attempt()

    def wake_at(self) -> float:
        """Return when there is something to do without an outcome."""
        ends = [
            began + self.timeout_s + GRACE_S for number, began in enumerate(self.began) if number not in self.errors
        ]
        return min([*ends, self.second_at] if len(self.began) == 1 else ends)

    def _failed(self, number: int, error: str) -> None:
        self.errors[number] = error
        if len(self.errors) == 2:
            self.entry = down(self.name, self.errors[1])
        elif number == 0:
            self.second_at = min(self.second_at, time.monotonic() + self.retry_pause_s)


def probe_all(
    probes: Mapping[str, Probe | None], timeout_s: float, retry_pause_s: float = RETRY_PAUSE_S
) -> dict[str, Entry]:
    """Return the entry of every service, in the order of `probes`; see the module's text for how long it takes.

    A service that answered at its second attempt has the error of the first as `first_error`.

    :param probes: None for a service that this deployment does not use.
    :param timeout_s: for one attempt.
    """
    events: queue.SimpleQueue[tuple[str, int, Entry | str]] = queue.SimpleQueue()
    services = {
        name: _Service(name, probe, timeout_s, retry_pause_s, events)
        for name, probe in probes.items()
        if probe is not None
    }
    for service in services.values():
        service.attempt()
    while waiting := [service for service in services.values() if service.entry is None]:
        wake_s = min(service.wake_at() for service in waiting) - time.monotonic()
        try:
            name, number, outcome = events.get(timeout=max(0.0, wake_s))
            services[name].take(number, outcome)
        except queue.Empty:
            pass
        for service in waiting:
            service.move_on(time.monotonic())
    entries = {name: service.entry for name, service in services.items()}
    return {name: entries.get(name) or not_configured() for name in probes}


def in_words(error: BaseException) -> str:
    """Return an error as a report shows it: one line, no secrets, not too long."""
    words = str(error) if isinstance(error, TradingOpsError) and str(error) else f"{type(error).__name__}: {error}"
    line = scrub(" ".join(words.split()))
    return line if len(line) <= MAX_ERROR_CHARS else f"{line[:MAX_ERROR_CHARS]}..."
