"""The soft limit of a training: asked between its steps, so that it ends with its checkpoint in order."""

from __future__ import annotations

import time
from collections.abc import Callable

from include.ml.errors import TrainingTimeLimitError


class SoftLimit:
    """Counts from its making.

    :param limit_s: seconds the training may take; None is no limit.
    :param clock: seconds, monotonic.
    """

    def __init__(self, limit_s: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit_s, self._clock = limit_s, clock
        self._started = clock()

    def check(self, epochs_done: int, epochs: int) -> None:
        """Raise when the time is over.

        :raises TrainingTimeLimitError: saying where the training stands and how it goes on.
        """
        if self._limit_s is not None and self._clock() - self._started > self._limit_s:
            raise TrainingTimeLimitError(self._limit_s, epochs_done, epochs)
