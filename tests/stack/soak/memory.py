"""How much memory the processes of a component hold over time, and how fast that grows."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from scipy import stats

from ops.processes import COMPONENT_VARIABLE, owned

MIB = 1024 * 1024
TENSORFLOW_ALONE = "import os, tensorflow, psutil; print(psutil.Process().memory_full_info().pss)"


@dataclass(frozen=True)
class Sample:
    """One look at a component, in MiB.

    :param first: resident memory of its first process.
    :param pool: mean resident memory of that one's children, which stay, too (Celery's pool, the LocalExecutor's
        workers); None without any. Kept apart: many children that do not grow would hide a first process that does.
    :param whole: proportional memory of all its processes, tasks at work included: shared pages count once.
    :param tasks: how many tasks are at work.
    """

    at_s: float
    first: float
    pool: float | None
    whole: float
    tasks: int


def look(run_dir: Path, components: Iterable[str], at_s: float) -> dict[str, Sample]:
    """Look at the processes of components; one whose first process is away is left out.

    A task is a process below the pool's: Celery's pool process and the LocalExecutor's worker each fork one per task.
    """
    members: defaultdict[str, dict[int, psutil.Process]] = defaultdict(dict)
    for process in owned(run_dir):
        with suppress(psutil.Error):
            members[process.environ()[COMPONENT_VARIABLE]][process.pid] = process
    samples = {}
    for component in components:
        first, pool, whole, tasks = 0.0, [], 0.0, 0
        for process in members[component].values():
            with suppress(psutil.Error):
                level, memory = _depth(process, members[component]), process.memory_full_info()
                whole += memory.pss / MIB
                if level == 0:
                    first = memory.rss / MIB
                elif level == 1:
                    pool.append(memory.rss / MIB)
                tasks += level == 2
        if first:
            samples[component] = Sample(at_s, first, statistics.fmean(pool) if pool else None, whole, tasks)
    return samples


def _depth(process: psutil.Process, members: Mapping[int, psutil.Process]) -> int:
    level, parent = 0, process.ppid()
    while parent in members:
        level, parent = level + 1, members[parent].ppid()
    return level


@dataclass
class Series:
    """The samples of one component."""

    component: str
    pooled: bool
    """Whether its children stay; those of a DAG processor, for instance, are gone after a file."""
    samples: list[Sample] = field(default_factory=list)

    def growths(self, since_s: float, block_s: float) -> dict[str, Growth]:
        """Return how fast the processes that stay grow, from a moment on: `first`, and `pool` where there is one."""
        looks = [sample for sample in self.samples if sample.at_s >= since_s]
        found = {"first": growth([(sample.at_s, sample.first) for sample in looks], block_s)}
        if self.pooled and (pool := [(sample.at_s, sample.pool) for sample in looks if sample.pool is not None]):
            found["pool"] = growth(pool, block_s)
        return found


@dataclass(frozen=True)
class Growth:
    """Slope in percent of the mean per hour, and the upper end of its one-sided 95 % interval."""

    mean_mib: float
    pct_per_h: float
    upper_pct_per_h: float


def growth(points: Sequence[tuple[float, float]], block_s: float) -> Growth:
    """Fit a line through the means of blocks of time (neighbouring samples are not independent of each other).

    :param points: seconds and MiB.
    :param block_s: length of a block.
    :raises ValueError: with fewer than 4 blocks.
    """
    blocks: defaultdict[int, list[tuple[float, float]]] = defaultdict(list)
    for at_s, value in points:
        blocks[int((at_s - points[0][0]) // block_s)].append((at_s, value))
    hours = [statistics.fmean(at_s for at_s, _ in block) / 3600 for block in blocks.values()]
    values = [statistics.fmean(value for _, value in block) for block in blocks.values()]
    if len(values) < 4:
        raise ValueError(f"{len(values)} blocks of {block_s:.0f} s say nothing about a slope: look for longer")
    mean, line = statistics.fmean(values), stats.linregress(hours, values)
    upper = line.slope + stats.t.ppf(0.95, len(values) - 2) * line.stderr if len(set(values)) > 1 else 0.0
    return Growth(mean, 100 * line.slope / mean, 100 * upper / mean)


def tensorflow_alone_mib() -> float:
    """Return what a Python that has imported TensorFlow, and nothing of ours, holds."""
    answer = subprocess.run(
        [sys.executable, "-c", TENSORFLOW_ALONE], capture_output=True, text=True, timeout=120, check=True
    )
    return int(answer.stdout.split()[-1]) / MIB
