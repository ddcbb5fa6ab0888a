"""Waiting for something that happens by itself, with a deadline and without fixed pauses."""

from __future__ import annotations

import time
from collections.abc import Callable


def eventually(condition: Callable[[], bool], deadline_s: float = 10.0) -> None:
    """Ask again and again until the condition holds; fail when the deadline has passed."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"did not happen within {deadline_s} s"
