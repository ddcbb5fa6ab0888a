"""Optimisations that are small enough for tests, and memories that can be read from outside."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from include.market.candles import Candles
from include.market.timeframes import DAY_MS
from include.strategies.optimise.memory import ProcessMemory, VariationMemory
from include.strategies.optimise.request import OptimisationRequest
from include.strategies.optimise.run import OptimisationOutcome, run_optimisation
from tests.strategies.optimise.prices import START_MS


def request(days: int, **changes: Any) -> OptimisationRequest:
    """Return a small optimisation of made-up prices."""
    terms: dict[str, Any] = {"strategy": "rsi", "variations": 10, "windows": 2, **changes}
    return OptimisationRequest(
        symbol="MADEUSDT", timeframe="1h", start_ms=START_MS, end_ms=START_MS + days * DAY_MS, **terms
    )


def optimised(
    candles: Candles, order: OptimisationRequest, memory: VariationMemory | None = None, processes: int = 1
) -> OptimisationOutcome:
    """Run an optimisation that nobody watches."""
    return run_optimisation(order, candles, memory or ProcessMemory(), lambda _percent, _details: None, processes)


class FileMemory:
    """Remembers in a file, one line per finished variation, written through to the disk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def lines(self) -> list[dict[str, Any]]:
        """Return everything that was ever kept, oldest first; a line that was being written is not there yet."""
        if not self._path.exists():
            return []
        whole = self._path.read_text().split("\n")[:-1]
        return [json.loads(line) for line in whole]

    def known(self, segment: str) -> Mapping[str, Mapping[str, Any]]:
        return {line["variation"]["key"]: line["variation"] for line in self.lines() if line["segment"] == segment}

    def keep(self, segment: str, variations: Sequence[Mapping[str, Any]]) -> None:
        with self._path.open("a") as file:
            for variation in variations:
                file.write(json.dumps({"segment": segment, "variation": variation}) + "\n")
            file.flush()
            os.fsync(file.fileno())
