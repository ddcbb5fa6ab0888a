"""The tests of this folder use the shared stack."""

from __future__ import annotations

import pytest

from tests.stack.stack import SHARED, OneStack, Stack


@pytest.fixture(scope="package")
def stack(one_stack: OneStack) -> Stack:
    """The running stack: as shipped but for what makes trainings short."""
    return one_stack.set_as(SHARED)
