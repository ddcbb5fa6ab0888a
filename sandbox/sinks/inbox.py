"""Where the sinks keep what they received."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any

MAX_KEPT = 5_000


@dataclass(frozen=True)
class Received:
    """A message that a sink accepted; `time` in seconds since the epoch."""

    channel: str
    payload: Any
    time: float = field(default_factory=time.time)


class Inbox:
    """The messages of all channels, oldest first."""

    def __init__(self) -> None:
        self._messages: deque[Received] = deque(maxlen=MAX_KEPT)

    def add(self, channel: str, payload: Any) -> None:
        """Keep a message."""
        self._messages.append(Received(channel, payload))

    def listing(self, channel: str | None = None) -> list[dict[str, Any]]:
        """Return the messages of a channel, or all."""
        return [asdict(message) for message in self._messages if channel in {None, message.channel}]

    def clear(self) -> None:
        """Forget all."""
        self._messages.clear()
