"""Hears SIGTERM in a thread of its own, also while the main thread is inside a long native call.

Python runs a signal's handler in the main thread, between two of its instructions: a compilation of TensorFlow may put
that off for seconds, and the SIGKILL that follows comes sooner. The C level writes the signal's number into a pipe at
once (`signal.set_wakeup_fd`), and a thread reads it there.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

logger = logging.getLogger(__name__)


class TerminationWatch:
    """Calls `on_term` once, in another thread, when this process is asked to end; use it in a `with` statement.

    A Python handler for SIGTERM must be installed (Airflow's task process has one). Outside of the main thread, where
    signals cannot be watched, it does nothing.
    """

    def __init__(self, on_term: Callable[[], None]) -> None:
        self._on_term = on_term
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Begin to listen."""
        if threading.current_thread() is not threading.main_thread():
            return self
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._listen, name="termination-watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """Stop listening; a call of `on_term` that has begun is waited for."""
        if self._thread is None:
            return
        signal.set_wakeup_fd(self._before)
        os.close(self._write)  # the thread reads the end
        self._thread.join()
        os.close(self._read)

    def _listen(self) -> None:
        while heard := os.read(self._read, 64):
            if signal.SIGTERM in heard:
                try:
                    self._on_term()
                except Exception:
                    logger.exception("What is to be done at the end of a cancelled training failed")
                return
