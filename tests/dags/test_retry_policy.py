"""Which failures come back, and after how long."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from dags.wiring.retry import COUNT_KEY, JITTER, TransientRetryPolicy
from include.analyst.errors import AnswerError, BudgetExceededError, JudgeUnavailableError
from include.errors import BadInputError, FencedError, LeaseHeldError, MalformedAnswerError, ServiceUnavailableError
from include.settings import get_settings

pytestmark = pytest.mark.critical


class StateStore:
    """The task state store's two calls, in memory."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    def set(self, key: str, value: Any) -> None:
        self.values[key] = value


def decide(policy: TransientRetryPolicy, error: BaseException, store: StateStore, try_number: int = 1) -> Any:
    return policy.evaluate(error, try_number, 8, {"task_state_store": store})


@pytest.mark.parametrize(
    "error",
    [
        BadInputError("epochs must be between 1-1000"),
        ValueError("bad"),
        KeyError("missing"),
        TypeError("wrong"),
        LeaseHeldError("Training already in progress for lstm+BTCUSDT"),
        FencedError("a newer try runs"),
        AnswerError("not_json", "no JSON"),
        BudgetExceededError("daily", 5, 0.1, 5),
    ],
)
def test_what_trying_again_cannot_help_fails_at_once(error: BaseException) -> None:
    store = StateStore()
    assert decide(TransientRetryPolicy(), error, store).action.value == "fail"
    assert store.values == {}


@pytest.mark.parametrize(
    "error",
    [
        ServiceUnavailableError("engine away"),
        MalformedAnswerError("HTML instead of JSON"),
        JudgeUnavailableError("timed out"),
        ConnectionError("refused"),
        TimeoutError("slow"),
        httpx.ConnectError("refused"),
        OSError("disk"),
    ],
)
def test_transient_errors_come_back_after_60_120_300_seconds_and_then_no_more(error: BaseException) -> None:
    store, policy = StateStore(), TransientRetryPolicy()
    for delay_s in (60, 120, 300):
        decision = decide(policy, error, store)
        assert decision.action.value == "retry"
        assert delay_s <= decision.retry_delay.total_seconds() <= delay_s * (1 + JITTER)
    assert decide(policy, error, store).action.value == "fail"
    assert store.values == {COUNT_KEY: 3}


def test_a_service_that_asks_for_a_longer_pause_gets_it() -> None:
    decision = decide(TransientRetryPolicy(), JudgeUnavailableError("429", retry_after_s=90), StateStore())
    assert 90 <= decision.retry_delay.total_seconds() <= 90 * (1 + JITTER)


def test_tries_lost_to_killed_workers_do_not_use_up_the_retries() -> None:
    store = StateStore()
    decision = decide(TransientRetryPolicy(), ConnectionError(), store, try_number=4)
    assert decision.action.value == "retry"
    assert store.values == {COUNT_KEY: 1}


def test_the_delays_are_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADING_OPS_RETRY_DELAYS_S", "0.5")
    get_settings.cache_clear()
    try:
        store, policy = StateStore(), TransientRetryPolicy(2)
        delays = [decide(policy, ConnectionError(), store).retry_delay.total_seconds() for _ in range(2)]
    finally:
        get_settings.cache_clear()
    assert all(0.5 <= delay <= 0.6 for delay in delays)
    assert decide(policy, ConnectionError(), store).action.value == "fail"


def test_two_policies_are_told_apart_by_what_they_serialize() -> None:
    assert TransientRetryPolicy.deserialize(TransientRetryPolicy(2).serialize()).max_retries == 2
