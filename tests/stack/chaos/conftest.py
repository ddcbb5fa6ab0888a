"""The tests of this folder use the shared stack: with schedules, and a second training worker to take over."""

from __future__ import annotations

import pytest

from tests.stack.stack import SHARED, OneStack, Stack


@pytest.fixture(scope="package")
def stack(one_stack: OneStack) -> Stack:
    """The running stack."""
    return one_stack.set_as(SHARED)
