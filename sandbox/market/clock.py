"""The sandbox's present: the shift of its candles and how far its clock was advanced.

Both are fixed in a state file, so that a restart serves the same bar at the same time: a candle store
filled before and after it would otherwise mix two series.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sandbox.market.bars import DAY_MS, HOUR_MS, WEEK_MS

MIN_AHEAD_MS = 60 * DAY_MS


class ClockError(ValueError):
    """The clock cannot be set as asked; the message says how far it can go."""


@dataclass
class SandboxClock:
    """Time of the sandbox. All values in milliseconds.

    `shift_weeks` is added to the candles' original times; `advance_ms` to the real clock.
    """

    path: Path | None
    data: str
    data_end_ms: int
    shift_weeks: int
    advance_ms: int = 0
    real_now: Callable[[], float] = time.time
    _seen: tuple[int, int] | None = None

    @classmethod
    def open(
        cls, path: Path | None, data: str, data_end_ms: int, real_now: Callable[[], float] = time.time
    ) -> SandboxClock:
        """Return the clock of an environment: the stored one, or a new one whose shift is fixed from now on.

        :param path: the state file; None keeps the clock in memory.
        :param data: which candles these are; another environment's clock is refused.
        :param data_end_ms: where the candles end, in original time.
        :raises ClockError: when the state file belongs to other candles or cannot be read.
        """
        clock = cls(path, data, data_end_ms, _new_shift(data_end_ms, int(real_now() * 1000)), 0, real_now)
        if path is not None and path.exists():
            clock._read(path)
        elif path is not None:
            clock._write()
        return clock

    @property
    def shift_ms(self) -> int:
        """What is added to an original time to get the sandbox's time."""
        return self.shift_weeks * WEEK_MS

    def now_ms(self) -> int:
        """Return the sandbox's present."""
        self._refresh()
        return int(self.real_now() * 1000) + self.advance_ms

    def ahead_ms(self) -> int:
        """Return how much data lies ahead of the sandbox's present (negative: exhausted)."""
        return self.data_end_ms + self.shift_ms - self.now_ms()

    def advance(self, ms: int) -> None:
        """Move the present forward into the data that lies ahead.

        :raises ClockError: backwards, or further than there are candles.
        """
        if ms < 0:
            raise ClockError(f"cannot advance by {ms / DAY_MS:g} days: the clock only moves forward")
        ahead = self.ahead_ms()
        if ms > ahead:
            raise ClockError(
                f"cannot advance by {ms / DAY_MS:g} days: only {max(0, ahead) / DAY_MS:.1f} days of candles lie ahead; "
                "start a new environment (another folder) to begin again"
            )
        self.advance_ms += ms
        self._write()

    def describe(self) -> dict[str, object]:
        """Return the clock in words and numbers, for the control endpoint."""
        return {
            "now_ms": self.now_ms(),
            "shift_weeks": self.shift_weeks,
            "advance_hours": self.advance_ms / HOUR_MS,
            "days_ahead": round(self.ahead_ms() / DAY_MS, 3),
        }

    def _refresh(self) -> None:
        """Follow what another process of the same environment wrote."""
        if self.path is not None and self.path.exists() and self._stamp(self.path) != self._seen:
            self._read(self.path)

    def _read(self, path: Path) -> None:
        stamp = self._stamp(path)
        try:
            state = json.loads(path.read_text())
            stored = (str(state["data"]), int(state["data_end_ms"]))
            shift, advance = int(state["shift_weeks"]), int(state["advance_ms"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ClockError(f"the sandbox's state file {path} is unusable ({error!r}): remove the folder") from error
        if stored != (self.data, self.data_end_ms):
            raise ClockError(
                f"the sandbox's state file {path} belongs to other candles ({stored[0]}, ending at {stored[1]}; "
                f"these are {self.data}, ending at {self.data_end_ms}): use another folder"
            )
        self.shift_weeks, self.advance_ms, self._seen = shift, advance, stamp

    def _write(self) -> None:
        if self.path is None:
            return
        state = {
            "data": self.data,
            "data_end_ms": self.data_end_ms,
            "shift_weeks": self.shift_weeks,
            "advance_ms": self.advance_ms,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        draft.write_text(json.dumps(state) + "\n")
        draft.replace(self.path)
        self._seen = self._stamp(self.path)

    @staticmethod
    def _stamp(path: Path) -> tuple[int, int]:
        stat = path.stat()
        return stat.st_mtime_ns, stat.st_ino


def _new_shift(data_end_ms: int, now_ms: int) -> int:
    """Return the smallest number of whole weeks that leaves `MIN_AHEAD_MS` of candles after now."""
    return -((data_end_ms - now_ms - MIN_AHEAD_MS) // WEEK_MS)
