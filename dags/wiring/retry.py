"""Which failures are tried again, when, and how often.

Transient errors are tried three times, after 60, 120 and 300 s with jitter; wrong input never. The
policy runs in the worker. A worker that is killed runs no policy: then the task's static `retries`
and `retry_delay` decide, which is why `retries` is larger than the policy's own three. The policy
counts its retries in the task state store, so that a killed worker does not use them up.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import RetryDecision, RetryPolicy

from include.errors import TradingOpsError, TransientError
from include.settings import get_settings

COUNT_KEY = "transient_retries"
"""Key in the task state store: how many of its own retries the policy has granted so far."""

INFRASTRUCTURE_RETRIES = 5
"""Retries on top of the policy's, for workers that were killed."""

JITTER = 0.2
"""A delay is stretched by up to this share, so that tasks that failed together do not return together."""

LONGEST_WAIT_S = 600.0
"""What a service asks for (`Retry-After`) is granted up to here."""

HOPELESS: tuple[type[BaseException], ...] = (
    TradingOpsError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    ImportError,
    NotImplementedError,
)
"""Trying again changes nothing about these, transient ones of ours excepted: input, set-up or code must change."""


class TransientRetryPolicy(RetryPolicy):
    """Fail at once on what trying again cannot help, else retry after the configured delays.

    :param max_retries: retries for transient errors; the delays come from `TRADING_OPS_RETRY_DELAYS_S`
        (the last one is used again where there are fewer of them).
    :param delays_s: instead of the configured delays, where nobody can wait for them.
    """

    def __init__(self, max_retries: int = 3, delays_s: Sequence[float] | None = None) -> None:
        self.max_retries = max_retries
        self.delays_s = None if delays_s is None else tuple(delays_s)

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,
        context: Mapping[str, Any] | None = None,
    ) -> RetryDecision:
        """Decide about one failure; see the module's text."""
        del try_number, max_tries
        if isinstance(exception, HOPELESS) and not isinstance(exception, TransientError):
            return RetryDecision.fail(f"{type(exception).__name__} is not helped by trying again")
        store = context.get("task_state_store") if context else None
        used = int(store.get(COUNT_KEY, 0)) if store is not None else 0
        if used >= self.max_retries:
            return RetryDecision.fail(f"still failing after {used} retries")
        if store is not None:
            store.set(COUNT_KEY, used + 1)
        delays = self.delays_s or get_settings().retry_delays_s or (0.0,)
        asked_s = min(getattr(exception, "retry_after_s", None) or 0.0, LONGEST_WAIT_S)
        delay_s = max(delays[min(used, len(delays) - 1)], asked_s) * (1 + JITTER * random.random())
        return RetryDecision.retry(timedelta(seconds=delay_s), f"transient: retry {used + 1} of {self.max_retries}")

    def serialize(self) -> dict[str, Any]:
        """Return what tells two policies apart."""
        return {"max_retries": self.max_retries, "delays_s": None if self.delays_s is None else list(self.delays_s)}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> TransientRetryPolicy:
        """Rebuild the policy from :meth:`serialize`'s answer."""
        return cls(**data)


def retries(transient: int = 3, delays_s: Sequence[float] | None = None) -> dict[str, Any]:
    """Return the retry arguments of a task: policy, total `retries`, and the delay after a killed worker.

    :param delays_s: instead of the configured delays before a retry.
    """
    return {
        "retries": transient + INFRASTRUCTURE_RETRIES,
        "retry_delay": timedelta(seconds=get_settings().infra_retry_delay_s),
        "retry_policy": TransientRetryPolicy(transient, delays_s),
    }


def last_try(context: Mapping[str, Any], transient: int = 3) -> bool:
    """Tell whether the policy has no retry left for the running task's next transient failure."""
    return int(context["task_state_store"].get(COUNT_KEY, 0)) >= transient
