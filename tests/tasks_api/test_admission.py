"""One training per network and symbol at a time; claims of runs that are over hold nobody up."""

from __future__ import annotations

from typing import Any

import pytest

from include.errors import FencedError, LeaseHeldError
from include.store.leases import LeaseStore, Owner
from include.tasks_api.admission import claim_training, claim_trainings, training_key

FIRST, SECOND = Owner("adaptive_retrain", "first"), Owner("train_model", "second")


def running(_: Owner) -> bool:
    return False


def over(_: Owner) -> bool:
    return True


def test_tc_async_063_a_second_training_of_the_same_network_and_symbol_is_refused(db: Any) -> None:
    claim_trainings(db, ["lstm", "gru"], "BTCUSDT", FIRST, running)
    with pytest.raises(LeaseHeldError) as refused:
        claim_trainings(db, ["lstm"], "BTCUSDT", SECOND, running)
    assert str(refused.value) == "Training already in progress for lstm+BTCUSDT"
    assert claim_trainings(db, ["lstm"], "ETHUSDT", SECOND, running) == [training_key("lstm", "ETHUSDT")]


def test_a_refused_run_holds_nothing(db: Any) -> None:
    claim_trainings(db, ["gru"], "BTCUSDT", FIRST, running)
    with pytest.raises(LeaseHeldError):
        claim_trainings(db, ["lstm", "gru", "transformer"], "BTCUSDT", SECOND, running)
    assert {lease.owner for lease in LeaseStore(db).all()} == {FIRST}


def test_the_claim_of_a_run_that_is_over_is_taken_over(db: Any) -> None:
    claim_trainings(db, ["lstm"], "BTCUSDT", FIRST, running)
    claim_trainings(db, ["lstm"], "BTCUSDT", SECOND, over)
    held = LeaseStore(db).holder(training_key("lstm", "BTCUSDT"))
    assert held is not None
    assert held.owner == SECOND


def test_the_training_takes_over_its_own_runs_claim_and_fences_older_tries(db: Any) -> None:
    claim_trainings(db, ["lstm"], "BTCUSDT", FIRST, running)
    first_try = claim_training(db, "lstm", "BTCUSDT", FIRST, 1, running)
    claim_training(db, "lstm", "BTCUSDT", FIRST, 2, running)
    with pytest.raises(FencedError):
        LeaseStore(db).check(first_try)
    with pytest.raises(FencedError):
        claim_training(db, "lstm", "BTCUSDT", FIRST, 1, running)


def test_a_run_that_is_cleared_and_started_again_is_admitted(db: Any) -> None:
    claim_trainings(db, ["lstm"], "BTCUSDT", FIRST, running)
    claim_training(db, "lstm", "BTCUSDT", FIRST, 3, running)
    assert claim_trainings(db, ["lstm"], "BTCUSDT", FIRST, running) == [training_key("lstm", "BTCUSDT")]
