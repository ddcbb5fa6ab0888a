"""What an optimisation remembers of itself, so that a killed one continues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class VariationMemory(Protocol):
    """Keeps finished variations, as :meth:`~include.strategies.optimise.variation.Variation.to_stored` writes them.

    They are plain mappings of numbers, texts and lists, each with its `key`, which is unique within its segment.
    """

    def known(self, segment: str) -> Mapping[str, Mapping[str, Any]]:
        """Return the finished variations of a segment, by their keys."""

    def keep(self, segment: str, variations: Sequence[Mapping[str, Any]]) -> None:
        """Add finished variations."""


class ProcessMemory:
    """Remembers as long as the process lives."""

    def __init__(self) -> None:
        self._kept: dict[str, dict[str, Mapping[str, Any]]] = {}

    def known(self, segment: str) -> Mapping[str, Mapping[str, Any]]:
        """Return the finished variations of a segment, by their keys."""
        return dict(self._kept.get(segment, {}))

    def keep(self, segment: str, variations: Sequence[Mapping[str, Any]]) -> None:
        """Add finished variations."""
        self._kept.setdefault(segment, {}).update({found["key"]: found for found in variations})
