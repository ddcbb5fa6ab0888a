"""Keeps an address within its request weight per minute, for all threads of a client together.

Binance counts weight per minute of the clock and per address, and announces the count with every answer
(`x-mbx-used-weight-1m`); what other programs of the same address have used is in it. Whoever goes on after a
429 is banned (418), for longer each time: so one refusal stops every thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from include.errors import ConfigurationError

WINDOW_S = 60.0
USED_WEIGHT_HEADER = "x-mbx-used-weight-1m"


class WeightPacer:
    """Lets requests pass while the running minute has weight left for them; safe for threads.

    :param weight_per_minute: of all requests together.
    :param clock: seconds since the epoch; the minutes are those of the clock, as the exchange counts them.
    :param sleep: called with the seconds to wait.
    """

    def __init__(self, weight_per_minute: int, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        if weight_per_minute < 1:
            raise ConfigurationError(f"weight_per_minute is {weight_per_minute}; set 1 or more")
        self.weight_per_minute = weight_per_minute
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._minute = 0
        self._used = 0

    def take(self, weight: int) -> None:
        """Wait until the minute has `weight` left, and use it.

        A single request above the whole allowance passes at the start of a minute: it would wait for ever.
        """
        while wait_s := self._try(weight):
            self._sleep(wait_s)

    def announced(self, used: str | None) -> None:
        """Note what the exchange says that the address has used in the minute; nonsense is ignored.

        Answers arrive out of order, so a lower number than ours changes nothing: what is under way is not in it.
        """
        if used is None or not (used.isascii() and used.isdigit()):
            return
        with self._lock:
            self._turn()
            self._used = max(self._used, int(used))

    def _try(self, weight: int) -> float:
        """Use the weight and return 0, or return the seconds until it is worth trying again."""
        with self._lock:
            now = self._turn()
            if self._used + weight <= self.weight_per_minute or self._used == 0:
                self._used += weight
                return 0.0
            return max((self._minute + 1) * WINDOW_S - now, 0.001)

    def _turn(self) -> float:
        """Start a new count in a new minute; return the time."""
        now = self._clock()
        minute = int(now // WINDOW_S)
        if minute != self._minute:
            self._minute, self._used = minute, 0
        return now


class Refusal:
    """Until when the exchange refuses the address, for all threads of a client."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._until = 0.0

    def hold(self, seconds: float) -> float:
        """Note that the exchange wants no question for so long, and return until when (clock's seconds)."""
        until = self._clock() + seconds
        with self._lock:
            self._until = max(self._until, until)
        return until

    def left_s(self, waited_until: float = 0.0) -> float:
        """Return the seconds for which nothing may be asked; 0 when the way is free.

        :param waited_until: up to when the caller has waited already, whatever the clock says.
        """
        return max(0.0, self._until - max(self._clock(), waited_until))
