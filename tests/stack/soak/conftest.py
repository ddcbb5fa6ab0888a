"""One stack for the tests of this folder, with schedules: what goes on by itself is part of what is looked at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stack.stack import Stack, running_stack


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The running stack; it ends with the folder's last test."""
    with running_stack(tmp_path_factory.mktemp("soak")) as running:
        yield running
