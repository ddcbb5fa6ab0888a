"""The figures that the tests of the stack measure, printed as one table at their end."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One line: what was looked at, what came out, and what it is held against."""

    what: str
    value: str
    limit: str = ""


ALL: list[Figure] = []


def note(what: str, value: object, limit: object = "") -> None:
    """Keep a figure for the table; printed at once, too, since a test may run for hours."""
    figure = Figure(what, f"{value:.2f}" if isinstance(value, float) else str(value), str(limit))
    ALL.append(figure)
    print(f"  {figure.what}: {figure.value}" + (f"   (limit {figure.limit})" if figure.limit else ""), flush=True)


def table() -> list[str]:
    """Return the lines of the table."""
    width = max((len(figure.what) for figure in ALL), default=0)
    number = max((len(figure.value) for figure in ALL), default=0)
    return [f"{figure.what:{width}}  {figure.value:>{number}}  {figure.limit}".rstrip() for figure in ALL]
