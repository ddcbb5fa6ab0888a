"""One stack for the tests of this folder, without schedules: what is measured is what the tests start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stack.stack import Stack, running_stack


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The running stack; it ends with the folder's last test."""
    with running_stack(tmp_path_factory.mktemp("load"), AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE="False") as running:
        yield running
