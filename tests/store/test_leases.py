"""Leases against a real MongoDB: one holder, fencing by try number, expiry, takeover, all or nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pymongo
import pytest
from pymongo.database import Database

from include.errors import BadInputError, FencedError, LeaseHeldError, ServiceUnavailableError
from include.store.leases import Lease, LeaseStore, Owner
from tests.store.waiting import eventually

Db = Database[dict[str, Any]]
KEY = "train:lstm:BTCUSDT"
LABEL = "Training already in progress for lstm+BTCUSDT"
FIRST = Owner("train_model", "manual__2026-01-01T00:00:00+00:00")
SECOND = Owner("train_model", "manual__2026-01-01T00:05:00+00:00")


@pytest.fixture
def leases(db: Db) -> LeaseStore:
    return LeaseStore(db)


def _expired(leases: LeaseStore, owner: Owner = FIRST, try_number: int = 1) -> Lease:
    lease = leases.acquire(KEY, owner, try_number, ttl_s=0.02)
    eventually(lambda: leases.holder(KEY) is None)
    return lease


@pytest.mark.critical
def test_tc_async_010_a_second_run_is_refused_with_the_callers_words(leases: LeaseStore) -> None:
    held = leases.acquire(KEY, FIRST, 1, 600, label=LABEL)
    with pytest.raises(LeaseHeldError) as caught:
        leases.acquire(KEY, SECOND, 1, 600, label=LABEL)
    assert str(caught.value) == LABEL
    assert FIRST.run_id in caught.value.__notes__[0]
    leases.check(held)
    assert leases.holder(KEY) == held


def test_lease_knows_its_owner_and_its_times(leases: LeaseStore) -> None:
    lease = leases.acquire(KEY, FIRST, 2, 600)
    assert (lease.key, lease.owner, lease.try_number, lease.retaken) == (KEY, FIRST, 2, False)
    assert (lease.expires_at - lease.acquired_at).total_seconds() == 600
    assert abs((lease.acquired_at - datetime.now(UTC)).total_seconds()) < 60


@pytest.mark.critical
def test_of_many_runs_at_once_exactly_one_gets_it(leases: LeaseStore) -> None:
    workers, keys = 12, [f"key-{n}" for n in range(15)]
    barrier = threading.Barrier(workers)

    def claim(worker: int) -> list[str]:
        won = []
        for key in keys:
            barrier.wait()
            try:
                leases.acquire(key, Owner("d", f"run-{worker}"), 1, 600)
                won.append(key)
            except LeaseHeldError:
                continue
        return won

    with ThreadPoolExecutor(workers) as pool:
        winners = [key for won in pool.map(claim, range(workers)) for key in won]
    assert sorted(winners) == sorted(keys)


def test_same_run_takes_it_again_with_an_equal_or_higher_try_and_its_older_holder_is_fenced(
    leases: LeaseStore,
) -> None:
    first = leases.acquire(KEY, FIRST, 1, 600)
    for try_number in (1, 2, 5):
        again = leases.acquire(KEY, FIRST, try_number, 600)
        assert again.retaken
        leases.check(again)
        with pytest.raises(FencedError, match=f"try {try_number} now"):
            leases.check(first)
        first = again


@pytest.mark.critical
def test_older_try_of_the_same_run_is_fenced_even_when_the_newer_ones_lease_expired(leases: LeaseStore) -> None:
    leases.acquire(KEY, FIRST, 2, 600)
    with pytest.raises(FencedError, match="try 2 of train_model"):
        leases.acquire(KEY, FIRST, 1, 600)
    leases.renew(leases.all()[0], ttl_s=0.02)
    eventually(lambda: leases.holder(KEY) is None)
    with pytest.raises(FencedError, match="try 2 of train_model"):
        leases.acquire(KEY, FIRST, 1, 600)


def test_same_run_id_of_another_dag_is_another_run(leases: LeaseStore) -> None:
    leases.acquire(KEY, FIRST, 1, 600)
    with pytest.raises(LeaseHeldError):
        leases.acquire(KEY, Owner("adaptive_retrain", FIRST.run_id), 1, 600)


def test_expired_lease_is_taken_over_and_its_holder_fenced(leases: LeaseStore) -> None:
    old = _expired(leases, try_number=7)
    new = leases.acquire(KEY, SECOND, 1, 600)
    assert not new.retaken
    for forbidden in (leases.check, leases.renew):
        with pytest.raises(FencedError, match=r"held by train_model run manual__2026-01-01T00:05:00\+00:00 try 1 now"):
            forbidden(old)
    assert leases.release(old) is False
    leases.check(new)


def test_renewal_keeps_a_lease_and_revives_an_expired_one_that_nobody_took(leases: LeaseStore) -> None:
    lease = leases.acquire(KEY, FIRST, 1, 600)
    renewed = leases.renew(lease)
    assert renewed.expires_at >= lease.expires_at
    assert renewed.acquired_at == lease.acquired_at
    leases.renew(lease, ttl_s=0.02)
    eventually(lambda: leases.holder(KEY) is None)
    leases.check(lease)
    revived = leases.renew(lease)
    assert leases.holder(KEY) == revived
    with pytest.raises(LeaseHeldError):
        leases.acquire(KEY, SECOND, 1, 600)


def test_released_lease_is_free_and_cannot_be_renewed(leases: LeaseStore) -> None:
    lease = leases.acquire(KEY, FIRST, 1, 600)
    assert leases.release(lease) is True
    assert leases.release(lease) is False
    assert leases.holder(KEY) is None
    for forbidden in (leases.check, leases.renew):
        with pytest.raises(FencedError, match="released or swept away"):
            forbidden(lease)
    leases.acquire(KEY, SECOND, 1, 600)


def test_live_lease_of_a_run_that_is_over_is_taken_over(leases: LeaseStore) -> None:
    old = leases.acquire(KEY, FIRST, 3, 600)
    asked: list[Owner] = []

    def is_over(owner: Owner) -> bool:
        asked.append(owner)
        return True

    new = leases.acquire(KEY, SECOND, 1, 600, is_over)
    assert asked == [FIRST]
    assert leases.holder(KEY) == new
    with pytest.raises(FencedError):
        leases.check(old)


def test_live_lease_of_a_run_that_goes_on_stays(leases: LeaseStore) -> None:
    old = leases.acquire(KEY, FIRST, 1, 600)
    with pytest.raises(LeaseHeldError):
        leases.acquire(KEY, SECOND, 1, 600, lambda _: False)
    leases.check(old)


def test_takeover_does_not_touch_whoever_took_it_while_the_owner_was_looked_up(leases: LeaseStore) -> None:
    old = leases.acquire(KEY, FIRST, 1, 600)
    third = Owner("train_model", "third")

    def is_over(owner: Owner) -> bool:
        if owner == FIRST:
            leases.release(old)
            leases.acquire(KEY, third, 1, 600)
            return True
        return False

    with pytest.raises(LeaseHeldError):
        leases.acquire(KEY, SECOND, 1, 600, is_over)
    holder = leases.holder(KEY)
    assert holder is not None
    assert holder.owner == third


def test_only_one_of_many_takes_over_from_a_run_that_is_over(leases: LeaseStore) -> None:
    leases.acquire(KEY, FIRST, 1, 600)
    barrier = threading.Barrier(8)

    def claim(worker: int) -> int:
        barrier.wait()
        try:
            leases.acquire(KEY, Owner("d", f"run-{worker}"), 1, 600, lambda owner: owner == FIRST)
        except LeaseHeldError:
            return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(claim, range(8))) == 1


class TestAllOrNothing:
    """`acquire_all`."""

    def test_all_are_taken_in_the_order_asked_for(self, leases: LeaseStore) -> None:
        taken = leases.acquire_all(["c", "a", "b"], FIRST, 1, 600)
        assert [lease.key for lease in taken] == ["c", "a", "b"]
        assert [lease.key for lease in leases.all()] == ["a", "b", "c"]

    @pytest.mark.critical
    def test_one_refused_leaves_none(self, leases: LeaseStore) -> None:
        leases.acquire("b", FIRST, 1, 600)
        with pytest.raises(LeaseHeldError, match=r"^b is taken") as caught:
            leases.acquire_all(["a", "b", "c"], SECOND, 1, 600, label=lambda key: f"{key} is taken")
        assert str(caught.value) == "b is taken"
        assert [(lease.key, lease.owner) for lease in leases.all()] == [("b", FIRST)]

    def test_what_the_run_held_before_stays_when_one_is_refused(self, leases: LeaseStore) -> None:
        leases.acquire("a", SECOND, 1, 600)
        leases.acquire("b", FIRST, 1, 600)
        with pytest.raises(LeaseHeldError):
            leases.acquire_all(["a", "b"], SECOND, 2, 600)
        assert [(lease.key, lease.owner) for lease in leases.all()] == [("a", SECOND), ("b", FIRST)]

    def test_a_key_named_twice_is_taken_once(self, leases: LeaseStore) -> None:
        first, second = leases.acquire_all(["a", "a"], FIRST, 1, 600)
        assert first == second

    def test_runs_that_want_overlapping_sets_never_share_a_key(self, leases: LeaseStore) -> None:
        sets = [["a", "b"], ["b", "c"], ["c", "a"], ["a", "b", "c"]]
        barrier = threading.Barrier(len(sets))

        def claim(worker: int) -> list[str]:
            barrier.wait()
            try:
                return [lease.key for lease in leases.acquire_all(sets[worker], Owner("d", f"r{worker}"), 1, 600)]
            except LeaseHeldError:
                return []

        for _ in range(5):
            with ThreadPoolExecutor(len(sets)) as pool:
                won = [key for keys in pool.map(claim, range(len(sets))) for key in keys]
            assert len(won) == len(set(won))
            assert sorted(won) == [lease.key for lease in leases.all()]
            for lease in leases.all():
                leases.release(lease)


def test_release_run_gives_back_what_one_run_holds(leases: LeaseStore) -> None:
    leases.acquire_all(["a", "b"], FIRST, 1, 600)
    leases.acquire("c", SECOND, 1, 600)
    assert leases.release_run(FIRST) == 2
    assert [lease.key for lease in leases.all()] == ["c"]


def test_texts_that_look_like_mongodb_expressions_are_stored_as_they_are(leases: LeaseStore) -> None:
    odd = Owner("$dag", "$$NOW")
    lease = leases.acquire("$_id", odd, 1, 600, label="$label")
    assert (lease.key, lease.owner, lease.label) == ("$_id", odd, "$label")
    assert leases.holder("$_id") == lease
    assert leases.release_run(odd) == 1


@pytest.mark.parametrize(
    ("key", "try_number", "ttl_s"), [("", 1, 60), (KEY, -1, 60), (KEY, 1, 0), (KEY, 1, -5), (KEY, 1, float("nan"))]
)
def test_senseless_claims_are_refused(leases: LeaseStore, key: str, try_number: int, ttl_s: float) -> None:
    with pytest.raises(BadInputError, match="a lease needs"):
        leases.acquire(key, FIRST, try_number, ttl_s)


def test_mongodb_away_is_a_transient_error() -> None:
    with pymongo.MongoClient[dict[str, Any]]("mongodb://127.0.0.1:1", serverSelectionTimeoutMS=50) as client:
        leases = LeaseStore(client["nowhere"])
        calls: list[Callable[[], object]] = [
            lambda: leases.acquire(KEY, FIRST, 1, 60),
            lambda: leases.holder(KEY),
            lambda: leases.release_run(FIRST),
        ]
        for call in calls:
            with pytest.raises(ServiceUnavailableError, match="MongoDB is away"):
                call()
