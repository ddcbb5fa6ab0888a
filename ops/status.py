"""What the supervisor says about the environment: a JSON file that `up`, `down` and `status` read."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from ops.files import read_json, write_json


class State(StrEnum):
    """The states of an environment."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True)
class Crash:
    """A component that ended although nobody asked it to."""

    component: str
    time: str
    exit_code: int
    log: str
    last_lines: list[str]

    def __str__(self) -> str:
        """Name the component, the time, how it ended and its last words."""
        how = f"killed by signal {-self.exit_code}" if self.exit_code < 0 else f"exit code {self.exit_code}"
        words = "".join(f"\n    | {line}" for line in self.last_lines[-5:])
        return f"{self.component} ended by itself at {self.time} ({how}); its log: {self.log}{words}"


@dataclass
class Status:
    """The state of one environment since its last start."""

    state: State = State.STOPPED
    detail: str = ""
    supervisor_pid: int | None = None
    started_at: str | None = None
    components: dict[str, dict[str, Any]] = field(default_factory=dict)
    crashes: list[Crash] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Status:
        """Return what the file says; an environment that never ran is stopped."""
        document = read_json(path)
        if not document:
            return cls()
        return cls(
            state=State(document["state"]),
            detail=document["detail"],
            supervisor_pid=document["supervisor_pid"],
            started_at=document["started_at"],
            components=document["components"],
            crashes=[Crash(**crash) for crash in document["crashes"]],
        )

    def write(self, path: Path) -> None:
        """Replace the file."""
        write_json(path, asdict(self))


def now() -> str:
    """Return the present time as ISO text, in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
