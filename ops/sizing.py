"""How much of the machine the embedded mode uses: worker processes and pool slots."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.settings import Settings
from ops.run_dir import REPOSITORY

POOLS_FILE = REPOSITORY / "config" / "pools.json"
MOST_SMALL_TASKS = 8


def usable_cores() -> int:
    """Return the processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Sizes:
    """Slots of each pool, and the LocalExecutor's worker processes.

    The scheduler counts the tasks of all pools against `parallelism`; one more than the pools' sum leaves it
    to the pools to say who waits.
    """

    pools: dict[str, int]

    @classmethod
    def of_machine(cls, settings: Settings, cores: int) -> Sizes:
        """Size the pools: a training keeps a core busy, the other tasks mostly wait for something."""
        return cls(
            {
                "cpu_training": max(1, min(cores, settings.max_concurrent_trainings)),
                "gpu": settings.gpu_count,
                "critical": 3,
                "emergency": 1,
                "default_pool": min(max(2, cores), MOST_SMALL_TASKS),
            }
        )

    @property
    def parallelism(self) -> int:
        """Worker processes of the LocalExecutor (it starts all of them at once)."""
        return sum(self.pools.values()) + 1


def sized_pools(sizes: Sizes, template: Path = POOLS_FILE) -> dict[str, dict[str, Any]]:
    """Return the template's pools, as `airflow pools import` reads them, with the slots of this machine."""
    pools: dict[str, dict[str, Any]] = json.loads(template.read_text(encoding="utf-8"))
    return {name: {**pool, "slots": sizes.pools[name]} for name, pool in pools.items()}
