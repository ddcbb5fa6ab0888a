"""The runner of the probes: two attempts, side by side where the first is silent, and nothing waits for what hangs."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from include.errors import ServiceUnavailableError
from include.health.entry import Entry, answered, down, not_configured
from include.health.probing import MAX_ERROR_CHARS, Probe, in_words, probe_all

FINE = answered("Redis", 0.001, 1.0)


@pytest.fixture
def forever() -> Iterator[threading.Event]:
    """What a hanging probe waits for; set at the end, so that no thread is left."""
    event = threading.Event()
    yield event
    event.set()


def failing(*outcomes: str | None) -> tuple[Probe, list[float]]:
    """Return a probe that fails with these words, one per attempt, or answers where there are none."""
    calls: list[float] = []

    def probe(timeout_s: float) -> Entry:
        calls.append(timeout_s)
        words = outcomes[len(calls) - 1]
        if words is not None:
            raise ServiceUnavailableError(words)
        return FINE

    return probe, calls


def test_one_good_answer_is_enough_and_what_is_not_used_is_not_asked() -> None:
    probe, calls = failing(None)
    assert probe_all({"Redis": probe, "RabbitMQ": None}, 3.0) == {"Redis": FINE, "RabbitMQ": not_configured()}
    assert calls == [3.0]


def test_the_second_attempt_decides_and_the_first_error_is_kept() -> None:
    probe, calls = failing("refused", None)
    (entry,) = probe_all({"Redis": probe}, 3.0, retry_pause_s=0.01).values()
    assert entry.status == "healthy"
    assert entry.facts["first_error"] == "refused"
    assert len(calls) == 2


def test_two_failures_are_down_with_the_last_error() -> None:
    probe, calls = failing("refused", "refused again")
    assert probe_all({"Redis": probe}, 3.0, retry_pause_s=0.01)["Redis"] == down("Redis", "refused again")
    assert len(calls) == 2


def test_what_hangs_in_both_attempts_is_down_and_the_others_are_not_held_up(forever: threading.Event) -> None:
    hanging = threading.Semaphore(0)

    def hang(_: float) -> Entry:
        hanging.release()
        forever.wait()
        return FINE

    entries = probe_all({"MongoDB": hang, "Redis": failing(None)[0]}, 0.2)
    assert entries["MongoDB"] == down("MongoDB", "no answer within 0.2 s")
    assert entries["Redis"] == FINE
    assert hanging.acquire(timeout=5)
    assert hanging.acquire(timeout=5), "it was tried twice"
    assert not hanging.acquire(blocking=False)


def test_a_silent_first_attempt_does_not_keep_the_second_from_answering(forever: threading.Event) -> None:
    calls: list[int] = []

    def probe(_: float) -> Entry:
        calls.append(1)
        if len(calls) == 1:
            forever.wait()
        return FINE

    assert probe_all({"Redis": probe}, 0.6)["Redis"] == FINE
    assert len(calls) == 2


def test_a_first_attempt_that_answers_late_but_in_time_counts(forever: threading.Event) -> None:
    second = threading.Event()
    calls: list[int] = []

    def probe(_: float) -> Entry:
        calls.append(1)
        if len(calls) == 1:
            assert second.wait(5)  # answers only after the second attempt has begun
            return FINE
        second.set()
        forever.wait()
        return FINE

    assert probe_all({"Redis": probe}, 3.0)["Redis"] == FINE


def test_an_error_is_one_line_without_secrets_and_not_too_long() -> None:
    words = in_words(OSError("no way to\namqp://ops:hunter2@broker/ " + "x" * 1000))
    assert "hunter2" not in words
    assert "\n" not in words
    assert words.startswith("OSError: no way to amqp://***@broker/")
    assert len(words) <= MAX_ERROR_CHARS + 3
    assert in_words(ServiceUnavailableError("engine away")) == "engine away"
