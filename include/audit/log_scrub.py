"""Blacks out secrets in task logs: Airflow's own masker knows connections and variables, not what a service answers.

What is logged goes through a processor, what is printed through a stream that knows whole lines. Only what a library in
another language writes by itself, or a child process, goes past both.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import MutableMapping
from typing import Any, TextIO

from include.audit.masking import masked
from include.notify.scrub import scrub

LONGEST_LINE = 20_000
"""Of a longer one the beginning is passed on without waiting for the end."""
UNTOUCHED = frozenset({"timestamp", "level", "logger", "filename", "lineno"})


def scrub_event(logger: Any, method_name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Return a log event with every recognised secret as `***`, in its text, its values and its stack: a processor.

    :param event: as it is just before it is written: the exception is a structure of texts already.
    """
    del logger, method_name
    for name, value in event.items():
        if name in UNTOUCHED:
            continue
        event[name] = scrub(value) if isinstance(value, str) else masked(value)[0]
    return event


class ScrubbedStream:
    """A text stream that passes on whole lines, without secrets: one may be written in several pieces.

    Everything else is the stream's own (`fileno`, `isatty`, `encoding` ...).
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._begun = ""
        self._lock = threading.RLock()

    def write(self, text: str) -> int:
        """Take a piece of text; the line it ends is passed on, the one it begins waits for its end or a flush."""
        with self._lock:
            *lines, self._begun = (self._begun + text).split("\n")
            if lines:
                self._stream.write("".join(f"{scrub(line)}\n" for line in lines))
            if len(self._begun) > LONGEST_LINE:
                self._pass_on()
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Take several pieces."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Pass on also the line that has no end yet."""
        with self._lock:
            self._pass_on()
            self._stream.flush()

    def _pass_on(self) -> None:
        begun, self._begun = self._begun, ""
        if begun:
            self._stream.write(scrub(begun))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def install() -> None:
    """Scrub what this process logs and prints; once per process.

    The processor goes before the one that writes, for structlog's loggers and for the standard ones.
    """
    import structlog

    chains = [structlog.get_config()["processors"]]
    chains += [getattr(handler.formatter, "processors", None) for handler in logging.getLogger().handlers]
    for chain in chains:
        if isinstance(chain, list) and chain and scrub_event not in chain:
            chain.insert(len(chain) - 1, scrub_event)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, ScrubbedStream):
            setattr(sys, name, ScrubbedStream(stream))
