"""Disables strategies at once: the record first, then the engine, then a look at what the engine shows.

Nothing stands in the way of the engine's call: a record that cannot be written is spooled, one that cannot be spooled
is said, and one strategy's failure does not hold up the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from include.errors import TransientError
from include.trading.engine_commands import CommandRefusedError, EndpointMissingError, EngineCommands

RecordState = Literal["stored", "already", "spooled", "not_kept"]
EngineState = Literal["disabled", "not_supported", "refused", "unavailable", "still_active"]
PASSING: tuple[EngineState, ...] = ("unavailable", "still_active")
"""What trying again may change."""

Keep = Callable[[str], tuple[RecordState, str | None]]
"""Keeps the record of one strategy; returns where, and what went wrong if anything did. Never raises."""


@dataclass(frozen=True)
class Outcome:
    """What became of one strategy.

    `disabled_at` is when the engine had it disabled (aware UTC), None when it has not. `verified` says whether the
    engine's list of active strategies shows it gone; None where the engine has no such list.
    """

    strategy: str
    record: RecordState
    record_problem: str | None
    engine: EngineState
    problem: str | None
    asked_at: datetime
    disabled_at: datetime | None = None
    verified: bool | None = None
    pending_signals_cancelled: int = 0

    @property
    def disabled(self) -> bool:
        """Whether the engine does not trade it any more, as far as the engine says."""
        return self.engine == "disabled"

    @property
    def settled(self) -> bool:
        """Whether trying again would change nothing."""
        return self.engine not in PASSING and self.record != "not_kept"

    def after(self, earlier: Outcome | None) -> Outcome:
        """Return it with what an earlier try cancelled: the engine counts only what it cancels now."""
        if earlier is None:
            return self
        return replace(
            self, pending_signals_cancelled=self.pending_signals_cancelled + earlier.pending_signals_cancelled
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it JSON-able."""
        times = {name: None if at is None else stamp(at) for name, at in self._times().items()}
        return asdict(self) | times

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Outcome:
        """Read :meth:`to_dict`'s form."""
        times = {
            name: None if stored[name] is None else datetime.fromisoformat(stored[name])
            for name in ("asked_at", "disabled_at")
        }
        return cls(**{**stored, **times})

    def _times(self) -> dict[str, datetime | None]:
        return {"asked_at": self.asked_at, "disabled_at": self.disabled_at}


def disable_strategies(names: Sequence[str], commands: EngineCommands, keep: Keep) -> list[Outcome]:
    """Record all, tell the engine all at the same time, then read back once; in the order of the names."""
    records = {name: keep(name) for name in names}
    with ThreadPoolExecutor(max_workers=min(8, max(1, len(names)))) as pool:
        outcomes = list(pool.map(lambda name: _disable(name, commands, *records[name]), names))
    if not any(outcome.disabled for outcome in outcomes):
        return outcomes
    return _verified(outcomes, commands)


def _disable(name: str, commands: EngineCommands, record: RecordState, record_problem: str | None) -> Outcome:
    asked_at = datetime.now(UTC)
    state: EngineState
    try:
        cancelled = commands.disable_strategy(name)
    except EndpointMissingError as error:
        state, problem = "not_supported", str(error)
    except CommandRefusedError as error:
        state, problem = "refused", str(error)
    except TransientError as error:
        state, problem = "unavailable", str(error)
    else:
        return Outcome(
            name, record, record_problem, "disabled", None, asked_at, datetime.now(UTC), None, cancelled
        )  # fmt: skip
    return Outcome(name, record, record_problem, state, problem, asked_at)


def _verified(outcomes: Sequence[Outcome], commands: EngineCommands) -> list[Outcome]:
    try:
        active = commands.active_strategies()
    except TransientError as error:
        problem = f"the engine accepted it, but whether it did it cannot be read back: {error}"
        return [
            replace(outcome, engine="unavailable", problem=problem, disabled_at=None) if outcome.disabled else outcome
            for outcome in outcomes
        ]
    return [_compared(outcome, active) if outcome.disabled else outcome for outcome in outcomes]


def _compared(outcome: Outcome, active: frozenset[str] | None) -> Outcome:
    if active is None:
        return outcome
    if outcome.strategy in active:
        problem = "the engine accepted it, but still lists the strategy as active"
        return replace(outcome, engine="still_active", problem=problem, disabled_at=None, verified=False)
    return replace(outcome, verified=True)


def result_of(task_id: str, reason: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the result of a run as specified; `strategies` has the details of each.

    With one strategy, `strategy` and `strategy_disabled` are names (`strategy_disabled` false when it is not); with
    several they are lists. `status` is success, partial or failed.
    """
    names = [outcome.strategy for outcome in outcomes]
    disabled = [outcome.strategy for outcome in outcomes if outcome.disabled]
    times = [outcome.disabled_at for outcome in outcomes if outcome.disabled_at is not None]
    one = len(names) == 1
    return {
        "status": "success" if len(disabled) == len(names) else "partial" if disabled else "failed",
        "strategy": names[0] if one else names,
        "strategy_disabled": (disabled[0] if one else disabled) if disabled else False,
        "reason": reason,
        "disabled_at": stamp(max(times)) if times and len(disabled) == len(names) else None,
        "pending_signals_cancelled": sum(outcome.pending_signals_cancelled for outcome in outcomes),
        "task_id": task_id,
        "strategies": {outcome.strategy: outcome.to_dict() for outcome in outcomes},
    }


def stamp(at: datetime) -> str:
    """Return a time as the specification writes it: `2025-11-22T14:30:00Z`, with the milliseconds."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
