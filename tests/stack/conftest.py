"""The tests of the distributed mode, run when they are asked for (`make test-stack`).

Each folder's `stack` says how its stack is set; folders whose stacks are set alike follow one another on one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.stack import figures
from tests.stack.stack import OneStack

OF_ITS_OWN = "tests/stack/load/"
"""The folder whose stack nobody shares: it comes last, so that the others need not start theirs anew after it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--full`."""
    parser.addoption(
        "--full", action="store_true", help="the stack's tests in their full form: hours instead of minutes"
    )


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what was measured."""
    if figures.ALL:
        terminalreporter.section("figures")
        for line in figures.table():
            terminalreporter.write_line(line)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that share a stack together."""
    items.sort(key=lambda item: item.nodeid.startswith(OF_ITS_OWN))


@pytest.fixture(scope="session")
def one_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneStack]:
    """What starts the folders' stacks, one at a time."""
    with OneStack(tmp_path_factory) as stacks:
        yield stacks


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    """Whether the full form was asked for."""
    return bool(request.config.getoption("--full"))
