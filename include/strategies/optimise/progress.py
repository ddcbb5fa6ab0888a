"""How far an optimisation is, and the best it has found so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

OnProgress = Callable[[int, Mapping[str, Any]], None]


class Progress:
    """Counts work (days of variations) and says every whole percent that is reached, once.

    :param total: all the work there will be.
    """

    def __init__(self, total: float, on_progress: OnProgress) -> None:
        self._total, self._on_progress = max(total, 1.0), on_progress
        self._done, self._said = 0.0, -1
        self._details: dict[str, Any] = {}

    def note(self, **details: Any) -> None:
        """Remember details that every following report carries."""
        self._details.update(details)

    def add(self, work: float) -> None:
        """Count work that is done; 100 % is left to :meth:`finish`."""
        self._done += work
        percent = min(99, int(100 * self._done / self._total))
        if percent > self._said:
            self._said = percent
            self._on_progress(percent, dict(self._details))

    def finish(self) -> None:
        """Say that all is done."""
        self._on_progress(100, dict(self._details))
