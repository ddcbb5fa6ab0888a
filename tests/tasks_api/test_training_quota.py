"""Ten trainings per user and day: counted once per run, whoever asks at the same moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.tasks_api.training_quota import RateLimitError, count_training

MORNING = datetime(2026, 3, 1, 8, tzinfo=UTC)


def test_tc_async_028_the_eleventh_training_of_a_day_is_refused_with_the_time_of_the_reset(db: Any) -> None:
    counts = [count_training(db, "ann", f"run {number}", 10, MORNING) for number in range(10)]
    assert counts == list(range(1, 11))
    with pytest.raises(RateLimitError) as refused:
        count_training(db, "ann", "run 10", 10, MORNING)
    assert str(refused.value).startswith("Rate limit exceeded: max 10 trainings per user per day (ann has started 10)")
    assert "2026-03-02T00:00:00Z" in str(refused.value)


def test_users_and_days_are_counted_apart(db: Any) -> None:
    assert count_training(db, "ann", "a", 1, MORNING) == 1
    assert count_training(db, "bob", "b", 1, MORNING) == 1
    assert count_training(db, None, "c", 1, MORNING) == 1
    with pytest.raises(RateLimitError):
        count_training(db, "ann", "d", 1, MORNING + timedelta(hours=15, minutes=59))
    assert count_training(db, "ann", "d", 1, MORNING + timedelta(hours=16)) == 1


def test_a_run_that_is_cleared_counts_once_also_on_another_day(db: Any) -> None:
    for at in (MORNING, MORNING, MORNING + timedelta(days=3)):
        assert count_training(db, "ann", "a", 1, at) == 1


def test_a_refused_run_does_not_count(db: Any) -> None:
    count_training(db, "ann", "a", 2, MORNING)
    count_training(db, "ann", "b", 2, MORNING)
    for _ in range(3):
        with pytest.raises(RateLimitError):
            count_training(db, "ann", "c", 2, MORNING)
    (document,) = db["training_quota"].find()
    assert document["runs"] == ["a", "b"]


def test_many_at_the_same_moment_do_not_pass_the_limit(db: Any) -> None:
    def start(number: int) -> bool:
        try:
            count_training(db, "ann", f"run {number}", 10, MORNING)
        except RateLimitError:
            return False
        return True

    with ThreadPoolExecutor(16) as threads:
        admitted = list(threads.map(start, range(40)))
    assert sum(admitted) == 10
