"""The cost ledger on a real MongoDB: budgets, hourly limit, many workers, and what stays booked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pymongo
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pymongo.database import Database

from include.analyst.errors import BudgetExceededError, CallRefusedError, RateLimitReachedError
from include.analyst.ledger import CostLedger, Usage
from include.errors import BadInputError, ConfigurationError, ServiceUnavailableError
from include.settings import Settings
from include.store.collections import GPT4_BUDGET, GPT4_COSTS
from sandbox.mongod import free_port
from tests.analyst.conftest import Clock

Db = Database[dict[str, Any]]
MakeSettings = Callable[..., Settings]


def reserve(ledger: CostLedger, worst_case_usd: float = 0.02, task_id: str = "run-1") -> Any:
    return ledger.reserve(task_id, "gpt4_self_analysis", "gpt-4o", worst_case_usd)


def test_tc_async_055_real_tokens_and_cost_are_logged_per_task(db: Db, ledger: CostLedger, clock: Clock) -> None:
    assert ledger.settle(reserve(ledger), Usage(500, 200)) == 0.00325
    row = db[GPT4_COSTS].find_one({"task_id": "run-1"})
    assert row is not None
    assert (row["prompt_tokens"], row["completion_tokens"], row["total_tokens"]) == (500, 200, 700)
    assert (row["cost_usd"], row["model"], row["purpose"], row["try"]) == (0.00325, "gpt-4o", "gpt4_self_analysis", 1)
    assert row["timestamp"] == clock.now
    assert ledger.spent_today_usd() == ledger.spent_month_usd() == 0.00325


def test_worst_case_is_booked_before_the_call_and_replaced_after_it(ledger: CostLedger) -> None:
    reservation = reserve(ledger, 0.5)
    assert ledger.spent_today_usd() == 0.5
    ledger.settle(reservation, Usage(1000, 100))
    assert ledger.spent_today_usd() == pytest.approx(0.0035)


def test_settling_twice_changes_nothing(ledger: CostLedger) -> None:
    reservation = reserve(ledger, 0.5)
    ledger.settle(reservation, Usage(1000, 100))
    ledger.settle(reservation, Usage(9000, 900))
    ledger.release(reservation, "late")
    assert ledger.spent_today_usd() == pytest.approx(0.0035)


def test_call_that_may_have_been_billed_keeps_its_worst_case(db: Db, ledger: CostLedger) -> None:
    ledger.keep(reserve(ledger, 0.5), "timed out")
    assert ledger.spent_today_usd() == 0.5
    row = db[GPT4_COSTS].find_one()
    assert row is not None
    assert (row["state"], row["cost_usd"], row["error"]) == ("unknown", 0.5, "timed out")


def test_call_whose_worker_died_keeps_its_worst_case(db: Db, ledger: CostLedger) -> None:
    reserve(ledger, 0.5)
    row = db[GPT4_COSTS].find_one()
    assert row is not None
    assert (row["state"], row["cost_usd"]) == ("reserved", 0.5)


def test_refused_call_costs_nothing_but_counts_as_a_call(ledger: CostLedger) -> None:
    ledger.release(reserve(ledger, 0.5), "429")
    assert ledger.spent_today_usd() == 0
    assert ledger.calls_last_hour() == 1


def test_sixth_call_of_an_hour_is_refused_until_the_first_is_an_hour_old(ledger: CostLedger, clock: Clock) -> None:
    for _ in range(5):
        reserve(ledger)
        clock.forward(minutes=5)
    with pytest.raises(RateLimitReachedError, match="5 times in the last hour, 5 are allowed") as caught:
        reserve(ledger)
    assert caught.value.frees_at == datetime.fromisoformat("2025-11-22T02:00:00+00:00")
    clock.now = caught.value.frees_at
    reserve(ledger)
    with pytest.raises(RateLimitReachedError):
        reserve(ledger)


def test_limit_of_zero_calls_allows_none(db: Db, settings_with: MakeSettings) -> None:
    with pytest.raises(RateLimitReachedError, match="no call is allowed at all") as caught:
        reserve(CostLedger(db, settings_with(gpt4_calls_per_hour=0)))
    assert caught.value.frees_at is None


def test_daily_budget_is_free_again_at_midnight_utc(db: Db, settings_with: MakeSettings, clock: Clock) -> None:
    ledger = CostLedger(db, settings_with(gpt4_daily_budget_usd=0.05), clock)
    reserve(ledger, 0.03)
    with pytest.raises(
        BudgetExceededError, match=r"daily budget of \$0\.05.*\$0\.0300 so far.*up to \$0\.0300"
    ) as caught:
        reserve(ledger, 0.03)
    assert (caught.value.period, caught.value.spent_usd, caught.value.limit_usd) == ("daily", 0.03, 0.05)
    reserve(ledger, 0.02)
    clock.now = datetime.fromisoformat("2025-11-23T00:00:00+00:00")
    reserve(ledger, 0.05)
    assert ledger.spent_month_usd() == pytest.approx(0.10)


def test_monthly_budget_holds_although_the_day_has_room(db: Db, settings_with: MakeSettings, clock: Clock) -> None:
    ledger = CostLedger(db, settings_with(gpt4_monthly_budget_usd=0.05), clock)
    reserve(ledger, 0.04)
    clock.forward(days=2)
    with pytest.raises(BudgetExceededError, match=r"monthly budget of \$0\.05.*GPT4_MONTHLY_BUDGET_USD"):
        reserve(ledger, 0.02)
    clock.forward(days=9)  # December
    reserve(ledger, 0.05)


def test_refused_reservation_books_nothing(db: Db, settings_with: MakeSettings, clock: Clock) -> None:
    ledger = CostLedger(db, settings_with(gpt4_daily_budget_usd=0.01), clock)
    with pytest.raises(CallRefusedError):
        reserve(ledger, 0.02)
    with pytest.raises(CallRefusedError):
        ledger.check(0.02)
    assert (ledger.spent_today_usd(), ledger.calls_last_hour(), db[GPT4_COSTS].count_documents({})) == (0, 0, 0)


def test_look_at_the_budget_reserves_nothing(ledger: CostLedger) -> None:
    ledger.check(0.02)
    assert ledger.calls_last_hour() == 0


def test_settling_after_midnight_corrects_the_month_but_not_the_new_day(ledger: CostLedger, clock: Clock) -> None:
    clock.now = datetime.fromisoformat("2025-11-22T23:59:59+00:00")
    reservation = reserve(ledger, 0.5)
    clock.forward(seconds=10)
    later = reserve(ledger, 0.25)
    ledger.settle(reservation, Usage(1000, 100))
    assert ledger.spent_today_usd() == 0.25
    assert ledger.spent_month_usd() == pytest.approx(0.2535)
    assert later.day == "2025-11-23"


def test_clock_that_is_behind_does_not_reopen_a_closed_day(db: Db, settings: Settings) -> None:
    fast, slow = Clock(datetime.fromisoformat("2025-11-23T00:00:02+00:00")), Clock()
    slow.now = datetime.fromisoformat("2025-11-22T23:59:58+00:00")
    reserve(CostLedger(db, settings, fast), 0.5)
    reserve(CostLedger(db, settings, slow), 0.25)
    assert CostLedger(db, settings, fast).spent_today_usd() == 0.75


@pytest.mark.critical
def test_of_twenty_workers_at_once_exactly_five_pass(db: Db, settings: Settings, clock: Clock) -> None:
    start = threading.Barrier(20)

    def work(number: int) -> bool:
        ledger = CostLedger(db, settings, clock)
        start.wait()
        try:
            ledger.settle(reserve(ledger, 0.5, f"run-{number}"), Usage(1000, 100))
        except RateLimitReachedError:
            return False
        return True

    with ThreadPoolExecutor(20) as pool:
        passed = sum(pool.map(work, range(20)))
    assert passed == 5
    assert db[GPT4_COSTS].count_documents({"state": "settled"}) == 5
    assert CostLedger(db, settings, clock).spent_today_usd() == pytest.approx(5 * 0.0035)


def test_twenty_workers_never_overdraw_the_budget(db: Db, settings_with: MakeSettings, clock: Clock) -> None:
    settings = settings_with(gpt4_daily_budget_usd=1.0, gpt4_calls_per_hour=1000)
    start = threading.Barrier(20)

    def work(number: int) -> int:
        ledger = CostLedger(db, settings, clock)
        start.wait()
        try:
            reserve(ledger, 0.3, f"run-{number}")
        except BudgetExceededError:
            return 0
        return 1

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(work, range(20))) == 3
    assert CostLedger(db, settings, clock).spent_today_usd() == pytest.approx(0.9)


def test_deleted_budget_document_is_rebuilt_from_the_rows(db: Db, ledger: CostLedger, clock: Clock) -> None:
    reserve(ledger, 0.5)
    clock.forward(days=1)
    ledger.settle(reserve(ledger, 0.5), Usage(1000, 100))
    db[GPT4_BUDGET].delete_many({})
    assert ledger.spent_today_usd() == pytest.approx(0.0035)
    assert ledger.spent_month_usd() == pytest.approx(0.5035)
    assert ledger.calls_last_hour() == 1


def test_without_mongodb_no_call_is_allowed(settings: Settings) -> None:
    address = f"mongodb://127.0.0.1:{free_port()}"
    with pymongo.MongoClient[dict[str, Any]](address, serverSelectionTimeoutMS=100) as client:
        ledger = CostLedger(client["away"], settings)
        with pytest.raises(ServiceUnavailableError, match="so no call is made"):
            reserve(ledger)
        with pytest.raises(ServiceUnavailableError):
            ledger.check(0.01)


@pytest.mark.parametrize("worst", [float("nan"), float("inf"), -0.01])
def test_impossible_worst_case_is_refused(ledger: CostLedger, worst: float) -> None:
    with pytest.raises(BadInputError, match="worst case"):
        reserve(ledger, worst)


def test_model_without_a_price_is_refused_before_anything_is_booked(db: Db, ledger: CostLedger) -> None:
    with pytest.raises(ConfigurationError):
        ledger.reserve("run-1", "purpose", "gpt-9", 0.01)
    assert db[GPT4_COSTS].count_documents({}) == 0


STEP = st.tuples(
    st.sampled_from(["settle", "release", "keep", "die"]), st.integers(0, 50), st.integers(0, 3000), st.integers(0, 90)
)


@given(st.lists(STEP, max_size=12))
@hypothesis_settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_budget_always_equals_the_rows(db: Db, settings_with: MakeSettings, steps: list[Any]) -> None:
    db[GPT4_BUDGET].delete_many({})
    db[GPT4_COSTS].delete_many({})
    clock = Clock(datetime.fromisoformat("2025-11-30T20:00:00+00:00"))
    settings = settings_with(gpt4_daily_budget_usd=0.6, gpt4_monthly_budget_usd=1.0)
    ledger = CostLedger(db, settings, clock)
    for end, cents, tokens, minutes in steps:
        clock.forward(minutes=minutes)
        try:
            reservation = reserve(ledger, cents / 100)
        except CallRefusedError:
            continue
        if end == "settle":
            ledger.settle(reservation, Usage(tokens, 0))
        elif end != "die":
            getattr(ledger, end)(reservation, "error")
        assert ledger.spent_today_usd() <= 0.6 + 0.0075
    rows = list(db[GPT4_COSTS].find())
    today = [row["cost_usd"] for row in rows if row["timestamp"].date() == clock.now.date()]
    assert ledger.spent_today_usd() == pytest.approx(sum(today))
    assert all(
        len([r for r in rows if 0 <= (row["timestamp"] - r["timestamp"]).total_seconds() < 3600]) <= 5 for row in rows
    )
