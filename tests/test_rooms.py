"""Who may import whom: the product knows neither Airflow nor the stand-ins."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

pytestmark = pytest.mark.critical

AIRFLOW_ALLOWED = {
    "include/store/mongo.py",
    *(f"include/notify/{channel}.py" for channel in ("email", "slack", "discord", "telegram")),
}
"""The thin modules that turn an Airflow connection into a client."""


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def offenders(folder: str, forbidden: set[str], allowed: set[str] = frozenset()) -> list[str]:  # type: ignore[assignment]
    return [
        f"{path.relative_to(REPOSITORY)} imports {name}"
        for path in sorted((REPOSITORY / folder).rglob("*.py"))
        for name in imports(path)
        if name.split(".")[0] in forbidden and str(path.relative_to(REPOSITORY)) not in allowed
    ]


def test_the_product_imports_neither_airflow_nor_dags() -> None:
    assert offenders("include", {"airflow"}, AIRFLOW_ALLOWED) == []
    assert offenders("include", {"dags", "plugins", "ops", "sandbox", "tests", "benchmarks"}) == []


@pytest.mark.parametrize("folder", ["dags", "plugins"])
def test_dags_and_plugins_import_no_stand_ins_and_no_operations(folder: str) -> None:
    assert offenders(folder, {"sandbox", "ops", "tests", "benchmarks"}) == []


def test_the_stand_ins_know_nothing_of_the_product() -> None:
    assert offenders("sandbox", {"include", "dags", "airflow", "ops"}) == []


def test_the_allowed_modules_are_thin() -> None:
    for name in AIRFLOW_ALLOWED:
        assert len((REPOSITORY / name).read_text().splitlines()) <= 60
