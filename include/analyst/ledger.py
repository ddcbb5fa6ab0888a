"""The cost ledger: no GPT-4 request is sent that the switch, the budgets and the hourly limit do not allow.

One small document (`gpt4_budget`) holds what today and this month (UTC) have spent or reserved and when the last
hour's requests were sent. It changes by compare-and-set, so that of many workers only as many pass as there
is room for. Each request has a row in `gpt4_costs`, which is what reports read.

A request's worst case is reserved before it is sent and replaced by its real cost afterwards. What nobody can
know stays at the worst case: a request that timed out, or whose worker died, may have been billed. A
request that the endpoint refused, or that never left this host, costs 0 but counts as a call.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pymongo.errors import DuplicateKeyError

from include.analyst.budget import BudgetState
from include.analyst.gpt4_switch import require_on
from include.analyst.prices import NANO, price_of
from include.errors import BadInputError, TransientError
from include.store.collections import GPT4_BUDGET, GPT4_COSTS
from include.store.outage import mongo_outage

if TYPE_CHECKING:
    from pymongo.database import Database

    from include.settings import Settings

BUDGET_ID = "openai"
MAX_ROUNDS = 1000
"""Rounds of compare-and-set; each lost round is another worker's success, so this many never happen."""


@dataclass(frozen=True)
class Usage:
    """Tokens that the endpoint says it has billed."""

    prompt_tokens: int
    completion_tokens: int

    @property
    def total_tokens(self) -> int:
        """Both together."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class Reservation:
    """The right to send one request, at most `worst_case_nano` nano-dollars dear."""

    id: str
    model: str
    day: str
    month: str
    worst_case_nano: int


class CostLedger:
    """Reserves, settles and sums; safe with many workers. Every method needs MongoDB: without it no call is made.

    :param now: returns aware UTC; replaced in tests.

    Every method raises :class:`include.errors.ServiceUnavailableError` while MongoDB is away.
    """

    def __init__(
        self, db: Database[dict[str, Any]], settings: Settings, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._db = db
        self._now = now
        self._daily_nano = round(settings.gpt4_daily_budget_usd * NANO)
        self._monthly_nano = round(settings.gpt4_monthly_budget_usd * NANO)
        self._calls_per_hour = settings.gpt4_calls_per_hour

    def reserve(
        self, task_id: str, purpose: str, model: str, worst_case_usd: float, try_number: int = 1
    ) -> Reservation:
        """Claim the right to send one request; every request needs its own, repairs and retries included.

        :raises Gpt4SwitchedOffError: while GPT-4 is switched off.
        :raises BudgetExceededError: when the worst case does not fit into today's or this month's budget.
        :raises RateLimitReachedError: when the last 60 minutes have seen as many requests as allowed.
        """
        price_of(model)
        worst = self._worst_nano(worst_case_usd)
        for _ in range(MAX_ROUNDS):
            require_on(self._db)
            now = self._now()
            state = self._load(now)
            self._check(state, worst, now)
            if self._swap(state, state.with_call(worst, now)):
                reservation = Reservation(uuid.uuid4().hex, model, state.day, state.month, worst)
                self._open_row(reservation, task_id, purpose, try_number, now)
                return reservation
        raise TransientError("the cost ledger is being rewritten all the time, so no GPT-4 call is made; try again")

    def check(self, worst_case_usd: float) -> None:
        """Raise what :meth:`reserve` would raise, without reserving anything."""
        now = self._now()
        require_on(self._db)
        self._check(self._load(now), self._worst_nano(worst_case_usd), now)

    def settle(self, reservation: Reservation, usage: Usage) -> float:
        """Replace the worst case by the real cost and return that, in USD (a second time changes nothing)."""
        cost = price_of(reservation.model).nano_usd(usage.prompt_tokens, usage.completion_tokens)
        row = {
            "state": "settled",
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
            "cost_usd": cost / NANO,
        }
        self._close_row(reservation, row, cost)
        return cost / NANO

    def release(self, reservation: Reservation, error: str) -> None:
        """Record a request that was certainly not billed: cost 0, but a call."""
        self._close_row(reservation, {"state": "refused", "error": error[:500], "cost_usd": 0.0}, 0)

    def keep(self, reservation: Reservation, error: str) -> None:
        """Record a request that may have been billed: the worst case stays."""
        self._close_row(reservation, {"state": "unknown", "error": error[:500]}, reservation.worst_case_nano)

    def spent_today_usd(self) -> float:
        """Return what today (UTC) has spent, reservations included."""
        return self._load(self._now()).day_nano / NANO

    def spent_month_usd(self) -> float:
        """Return what this month (UTC) has spent, reservations included."""
        return self._load(self._now()).month_nano / NANO

    def calls_last_hour(self) -> int:
        """Return how many requests were sent, or reserved, in the last 60 minutes."""
        return len(self._load(self._now()).calls)

    def _check(self, state: BudgetState, worst_nano: int, now: datetime) -> None:
        state.check(worst_nano, now, self._daily_nano, self._monthly_nano, self._calls_per_hour)

    @staticmethod
    def _worst_nano(worst_case_usd: float) -> int:
        if not math.isfinite(worst_case_usd) or worst_case_usd < 0:
            raise BadInputError(f"the worst case of a call must be a cost of 0 or more, got {worst_case_usd!r}")
        return math.ceil(round(worst_case_usd * NANO, 3))

    def _load(self, now: datetime) -> BudgetState:
        with mongo_outage("reading the GPT-4 budget, so no call is made"):
            for _ in range(2):
                document = self._db[GPT4_BUDGET].find_one({"_id": BUDGET_ID})
                if document is not None:
                    return BudgetState.from_document(document).at(now)
                self._rebuild(now)
        raise TransientError("the GPT-4 budget disappears while it is read, so no call is made; try again")

    def _rebuild(self, now: datetime) -> None:
        """Make the budget document from the rows: the first time, or after somebody deleted it."""
        month_start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        since = min(month_start, now - timedelta(hours=1))
        rows = list(self._db[GPT4_COSTS].find({"timestamp": {"$gte": since}}, {"timestamp": 1, "cost_usd": 1}))
        state = BudgetState.from_rows(rows, now)
        try:
            self._db[GPT4_BUDGET].insert_one({"_id": BUDGET_ID, **state.to_document()})
        except DuplicateKeyError:
            return  # another worker was first, from the same rows

    def _swap(self, old: BudgetState, new: BudgetState) -> bool:
        with mongo_outage("reserving the cost of a GPT-4 call, so none is made"):
            answer = self._db[GPT4_BUDGET].replace_one({"_id": BUDGET_ID, "version": old.version}, new.to_document())
            return answer.modified_count == 1

    def _open_row(self, reservation: Reservation, task_id: str, purpose: str, try_number: int, now: datetime) -> None:
        row = {
            "_id": reservation.id,
            "task_id": task_id,
            "model": reservation.model,
            "purpose": purpose,
            "try": try_number,
            "state": "reserved",
            "prompt_tokens": 0,
            "completion_tokens": 0,
            "total_tokens": 0,
            "cost_usd": reservation.worst_case_nano / NANO,
            "worst_case_usd": reservation.worst_case_nano / NANO,
            "timestamp": now,
        }
        with mongo_outage("writing the cost of a GPT-4 call, so none is made"):
            self._db[GPT4_COSTS].insert_one(row)

    def _close_row(self, reservation: Reservation, changes: dict[str, Any], cost_nano: int) -> None:
        with mongo_outage(f"settling the GPT-4 call {reservation.id}; its worst case stays booked"):
            closed = self._db[GPT4_COSTS].update_one({"_id": reservation.id, "state": "reserved"}, {"$set": changes})
            difference = cost_nano - reservation.worst_case_nano
            if closed.modified_count == 0 or difference == 0:
                return
            # A sum changes only if it still is that day's or month's. A crash before this leaves it too high,
            # never too low.
            for field, period in (("day", reservation.day), ("month", reservation.month)):
                self._db[GPT4_BUDGET].update_one(
                    {"_id": BUDGET_ID, field: period}, {"$inc": {f"{field}_nano": difference, "version": 1}}
                )
