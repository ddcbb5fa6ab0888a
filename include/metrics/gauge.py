"""A figure as Prometheus reads it: a name, what it means, and one value per set of labels."""

from __future__ import annotations

from dataclasses import dataclass

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Gauge:
    """One figure. Every key of `values` names the same labels, in the same order; none has the empty tuple."""

    name: str
    meaning: str
    values: dict[Labels, float]

    @classmethod
    def single(cls, name: str, meaning: str, value: float) -> Gauge:
        """Return a figure without labels."""
        return cls(name, meaning, {(): value})
