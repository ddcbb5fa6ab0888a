"""Each part of the stack goes away under load and comes back: nothing is lost, nothing is done twice."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.stack.chaos import work
from tests.stack.figures import note
from tests.stack.stack import Stack

EPOCHS, EPOCHS_IN_QUICK_FORM = 400, 30
QUEUED, QUEUED_IN_QUICK_FORM = 20, 5


@dataclass(frozen=True)
class Fault:
    """What happens to which part, for how long; `in_quick_form_s` is for the short form (None: left out)."""

    name: str
    component: str
    away_s: float
    how: Callable[[Stack, str], None]
    in_quick_form_s: float | None


FAULTS = (
    Fault("RabbitMQ stopped and started", "rabbitmq", 15, Stack.stop, 5),
    Fault("PostgreSQL stopped and started", "postgres", 10, Stack.stop, 3),
    Fault("Redis stopped and started", "redis", 15, Stack.stop, 5),
    Fault("MongoDB stopped and started", "mongodb", 15, Stack.stop, 5),
    Fault("scheduler killed", "scheduler", 0, Stack.kill_and_hold, 0),
    Fault("API server away for 60 s", "api-server", 60, Stack.stop, 60),
    Fault("RabbitMQ away for 5 minutes", "rabbitmq", 300, Stack.stop, None),
)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_nothing_is_lost_and_nothing_doubled(stack: Stack, full: bool, fault: Fault) -> None:
    away_s = fault.away_s if full else fault.in_quick_form_s
    if away_s is None:
        pytest.skip("only in the full form: it takes 8 minutes")
    running = [work.training(stack, symbol, EPOCHS if full else EPOCHS_IN_QUICK_FORM) for symbol in work.SYMBOLS[:2]]
    for run in running:
        work.await_epochs(stack, run, 2)
    queued = work.backtests(stack, QUEUED if full else QUEUED_IN_QUICK_FORM)
    began = time.monotonic()
    fault.how(stack, fault.component)
    waited = time.monotonic() + away_s
    while time.monotonic() < waited:  # the outage itself
        time.sleep(0.5)
    stack.let_start(fault.component)
    counted = work.count(stack, [*running, *queued])
    took_s = time.monotonic() - began
    note(f"{fault.name} ({away_s:.0f} s)", f"{counted}; all done after {took_s:.0f} s", "0 lost, 0 doubled")
    assert counted.lost == []
    assert counted.doubled == []
