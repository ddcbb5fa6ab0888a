"""The locks install from any index, with hashes, and hold every direct dependency at its pin."""

from __future__ import annotations

import re

import pytest
from packaging.requirements import Requirement

from ops.run_dir import REPOSITORY

pytestmark = pytest.mark.critical

LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-gpu.lock")


def requirements(name: str) -> list[Requirement]:
    lines = (REPOSITORY / name).read_text().splitlines()
    specs = [line.partition("#")[0].strip() for line in lines]
    return [Requirement(spec) for spec in specs if spec and not spec.startswith("-")]


def entries(name: str) -> list[tuple[Requirement, int]]:
    """Return each locked requirement with the number of its hashes."""
    text = (REPOSITORY / name).read_text().replace("\\\n", " ")
    locked = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    return [(Requirement(line.split("--hash")[0].strip()), line.count("--hash=sha256:")) for line in locked]


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_names_no_index_no_address_and_no_path(lock: str) -> None:
    text = (REPOSITORY / lock).read_text()
    assert re.findall(r"://|--(?:extra-)?index|--find-links|--trusted-host| @ |file:", text) == []


@pytest.mark.parametrize("lock", LOCKS)
def test_every_entry_is_one_exact_version_with_hashes(lock: str) -> None:
    locked = entries(lock)
    assert len(locked) > 150
    assert [str(entry) for entry, hashes in locked if not hashes or not str(entry.specifier).startswith("==")] == []


@pytest.mark.parametrize(
    ("source", "lock"),
    [
        ("requirements.txt", "requirements.lock"),
        ("requirements.txt", "requirements-dev.lock"),
        ("requirements-dev.txt", "requirements-dev.lock"),
        ("requirements.txt", "requirements-gpu.lock"),
        ("requirements-gpu.txt", "requirements-gpu.lock"),
    ],
)
def test_every_direct_dependency_is_locked_at_its_pin(source: str, lock: str) -> None:
    locked = {(entry.name.lower(), str(entry.specifier)) for entry, _ in entries(lock)}
    missing = [str(r) for r in requirements(source) if (r.name.lower(), str(r.specifier)) not in locked]
    assert missing == [], "run: make lock"


@pytest.mark.parametrize("other", ["requirements-dev.lock", "requirements-gpu.lock"])
def test_development_and_gpus_run_the_versions_of_production(other: str) -> None:
    assert {str(entry) for entry, _ in entries("requirements.lock")} <= {str(entry) for entry, _ in entries(other)}
