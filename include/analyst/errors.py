"""What can go wrong between asking the judge and reading the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from include.errors import ServiceUnavailableError, TradingOpsError

AnswerProblem = Literal["empty", "not_json", "missing", "invalid", "contradictory", "cut_off", "refused"]

MAX_RAW_CHARS = 4000


class AnswerError(TradingOpsError, ValueError):
    """The judge answered, but not with a verdict that can be used.

    A ValueError, so that no retry policy asks (and pays) again: the one repair attempt is made where the
    judge is asked. `raw_answers` keeps what came, each cut to 4000 characters; `requests` and `cost_usd` say
    what was sent and spent, once :func:`include.analyst.judge.ask` has raised it.
    """

    def __init__(self, kind: AnswerProblem, problem: str, raw: str | Sequence[str] = ()) -> None:
        self.kind = kind
        self.problem = problem
        raws = (raw,) if isinstance(raw, str) else tuple(raw)
        self.raw_answers = tuple(shorten(text) for text in raws)
        self.requests = 0
        self.cost_usd = 0.0
        super().__init__(f"GPT-4's answer cannot be used ({kind}): {problem}")

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-able form, for the way from task to task."""
        return {
            "kind": self.kind,
            "problem": self.problem,
            "raw_answers": list(self.raw_answers),
            "requests": self.requests,
            "cost_usd": self.cost_usd,
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> AnswerError:
        """Read the form of :meth:`to_dict`."""
        error = cls(stored["kind"], stored["problem"], stored["raw_answers"])
        error.requests, error.cost_usd = stored["requests"], stored["cost_usd"]
        return error


class CallRefusedError(TradingOpsError):
    """This bundle's own limits forbid the call; nothing was sent."""


class BudgetExceededError(CallRefusedError):
    """The worst case of this call does not fit into what is left of today's or this month's budget."""

    def __init__(
        self, period: Literal["daily", "monthly"], spent_usd: float, needed_usd: float, limit_usd: float
    ) -> None:
        self.period = period
        self.spent_usd = spent_usd
        self.needed_usd = needed_usd
        self.limit_usd = limit_usd
        super().__init__(
            f"GPT-4's {period} budget of ${limit_usd:.2f} is spent: ${spent_usd:.4f} so far, and this call may cost "
            f"up to ${needed_usd:.4f}; wait for the next {'day' if period == 'daily' else 'month'} (UTC) or raise "
            f"TRADING_OPS_GPT4_{period.upper()}_BUDGET_USD"
        )


class RateLimitReachedError(CallRefusedError):
    """As many calls as allowed were sent within the last hour. `frees_at` is aware UTC, None if never."""

    def __init__(self, calls: int, limit: int, frees_at: datetime | None) -> None:
        self.calls = calls
        self.limit = limit
        self.frees_at = frees_at
        when = f"the next is allowed at {frees_at:%Y-%m-%dT%H:%M:%SZ}" if frees_at else "no call is allowed at all"
        super().__init__(
            f"GPT-4 was called {calls} times in the last hour, {limit} are allowed: {when}; "
            "or raise TRADING_OPS_GPT4_CALLS_PER_HOUR"
        )


class Gpt4SwitchedOffError(CallRefusedError):
    """A person or a critical cost has switched GPT-4 off. `at` is aware UTC."""

    def __init__(self, reason: str, by: str, at: datetime | None) -> None:
        self.reason = reason
        self.by = by
        self.at = at
        when = f" at {at:%Y-%m-%dT%H:%M:%SZ}" if at else ""
        super().__init__(
            f"GPT-4 is switched off: {reason} (by {by}{when}); the DAG enable_gpt4 switches it on, with an approval"
        )


class JudgeUnavailableError(ServiceUnavailableError):
    """The AI endpoint was away, slow or busy. `retry_after_s` is what it asked for, if it did."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


def shorten(raw: str) -> str:
    """Return the text, cut to 4000 characters with a note of how much is missing."""
    if len(raw) <= MAX_RAW_CHARS:
        return raw
    return f"{raw[:MAX_RAW_CHARS]}... ({len(raw) - MAX_RAW_CHARS} more characters)"
