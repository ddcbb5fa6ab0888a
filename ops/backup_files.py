"""What the parts of a backup have in common: a manifest that is written last, and checksums."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ops.files import read_json

MANIFEST = "manifest.json"


class BackupError(RuntimeError):
    """A backup could not be made, is not whole, or must not be restored here."""


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest in a folder.

    :raises BackupError: when there is none: then the folder is no backup.
    """
    found = read_json(folder / MANIFEST)
    if not found:
        raise BackupError(f"{folder} is no backup: it has no {MANIFEST} (was it interrupted?)")
    return found


def checksum(file: Path) -> str:
    """Return a file's SHA-256."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def compare(file: Path, sha256: str) -> None:
    """Compare a file with its checksum.

    :raises BackupError: when it is missing or differs.
    """
    if not file.exists():
        raise BackupError(f"{file} is missing")
    if checksum(file) != sha256:
        raise BackupError(f"{file} is not what was written: its SHA-256 differs from {MANIFEST}'s")
