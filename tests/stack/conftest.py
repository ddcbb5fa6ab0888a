"""The tests of the distributed mode, run when they are asked for (`make test-stack`); each folder has one stack."""

from __future__ import annotations

from typing import Any

import pytest

from tests.stack import figures


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


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    """Whether the full form was asked for."""
    return bool(request.config.getoption("--full"))
