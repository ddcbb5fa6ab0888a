"""The request weight of the running minute, as the real service counts and announces it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.binance import errors

WEIGHT_LIMIT = 6000


@dataclass
class WeightMeter:
    """Counts the weight per minute of the clock; above the limit every request is refused with 429."""

    limit: int = WEIGHT_LIMIT
    now: Callable[[], float] = time.time
    _minute: int = 0
    _used: int = 0

    def charge(self, weight: int) -> int:
        """Add a request's weight and return what the minute has used so far.

        :raises BinanceError: -1003 with status 429 and Retry-After, when the limit is exceeded.
        """
        now = self.now()
        minute = int(now // 60)
        if minute != self._minute:
            self._minute, self._used = minute, 0
        self._used += weight
        if self._used > self.limit:
            raise errors.too_much_weight(self.limit, max(1, int((minute + 1) * 60 - now)))
        return self._used
