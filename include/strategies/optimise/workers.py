"""Child processes that evaluate variations: forked, given the candles once, and never alive without their parent.

The children inherit the evaluator with its candles by the fork; a task is a segment and a few parameter sets. They
touch no database and no network. On Linux the kernel kills them when the parent dies, however it dies.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any

from include.errors import TransientError
from include.strategies.definition import StrategyParams
from include.strategies.optimise.evaluator import Evaluator
from include.strategies.optimise.variation import Segment, Variation

Job = tuple[str, StrategyParams]
"""A variation to evaluate: its key and its parameters."""

JOBS_PER_TASK = 4
"""At most; few enough that a killed optimisation loses little, and enough that handing over costs nothing."""
PR_SET_PDEATHSIG = 1

_evaluator: Evaluator | None = None


class Workers:
    """Evaluates on `processes` cores; with one, in this process. To be used in a `with` statement.

    :param processes: None for as many as this process may use.
    """

    def __init__(self, evaluator: Evaluator, processes: int | None) -> None:
        self._evaluator = evaluator
        self.processes = processes or len(os.sched_getaffinity(0))
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Workers:
        if self.processes > 1:
            _allow_children()
            self._pool = ProcessPoolExecutor(
                self.processes,
                mp_context=multiprocessing.get_context("fork"),
                initializer=_begin,
                initargs=(self._evaluator, os.getpid()),
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            if kind is not None:
                # Cancelled, or failed: nobody waits for what they compute.
                for child in list((self._pool._processes or {}).values()):
                    child.kill()
            self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def process_ids(self) -> list[int]:
        """Of the children that there are: none before the first evaluation."""
        return sorted(self._pool._processes or ()) if self._pool else []

    def evaluate(self, segment: Segment, jobs: Sequence[Job]) -> Iterator[list[Variation]]:
        """Yield finished variations in small batches, in the order in which they finish.

        :raises TransientError: when a child was killed.
        """
        if self._pool is None or len(jobs) == 1:
            yield from ([self._evaluator.evaluate(segment, *job)] for job in jobs)
            return
        size = max(1, min(JOBS_PER_TASK, len(jobs) // (2 * self.processes)))
        try:
            tasks: list[Future[Any]] = [
                self._pool.submit(_evaluate, segment, jobs[i : i + size]) for i in range(0, len(jobs), size)
            ]
            for task in as_completed(tasks):
                yield task.result()
        except BrokenProcessPool as error:
            raise TransientError(
                "A process that evaluated variations was killed (out of memory?); what is finished is kept. Trying "
                "again continues there; fewer processes need less memory"
            ) from error


def _allow_children() -> None:
    """Let this process start others, although Celery says of its own that they may not: theirs would be left alone."""
    process = multiprocessing.current_process()
    if process.daemon:
        process.daemon = False  # ours never outlive it: see `_begin`


def _begin(evaluator: Evaluator, parent: int) -> None:
    """Make this process a worker."""
    global _evaluator
    _evaluator = evaluator
    # The handlers of the task's process are not for its children.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the kernel was told
            os._exit(1)


def _evaluate(segment: Segment, jobs: Sequence[Job]) -> list[Variation]:
    assert _evaluator is not None
    return [_evaluator.evaluate(segment, key, params) for key, params in jobs]
