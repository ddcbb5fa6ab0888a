"""Which code and libraries made a model."""

from __future__ import annotations

import hashlib
import platform
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = ("tensorflow", "keras", "numpy")
CODE_FOLDERS = ("ml", "market")


@lru_cache(maxsize=1)
def training_versions() -> dict[str, str]:
    """Return the versions of Python and the libraries, and a hash of the code that trains.

    `code_sha256` covers the sources of `include/ml` and `include/market`: two models with the same one were
    made by the same code, whether or not the bundle is a checkout.
    """
    found = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "not installed"
    return {**found, "code_sha256": _code_hash()}


def _code_hash() -> str:
    include = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for path in sorted(path for folder in CODE_FOLDERS for path in (include / folder).glob("*.py")):
        digest.update(f"{path.relative_to(include)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
