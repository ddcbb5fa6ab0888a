"""The tests of this folder have schedules: what goes on by itself is part of what is looked at."""

from __future__ import annotations

import pytest

from tests.stack.stack import SHARED, OneStack, Stack


@pytest.fixture(scope="package")
def stack(one_stack: OneStack, full: bool) -> Stack:
    """The running stack: in the full form a new one, as shipped; in the quick form the shared one."""
    return one_stack.set_as({} if full else SHARED)
