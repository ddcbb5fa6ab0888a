"""Runs the configured restart command of a service, once, without a shell, for a bounded time."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from include.notify.scrub import MASK, scrub

MAX_OUTPUT_CHARS = 500
SECRET_PREFIXES = ("AIRFLOW", "TRADING_OPS_", "OPENAI_")


@dataclass(frozen=True)
class RestartOutcome:
    """What a restart command did.

    :param exit_code: None when it did not start or did not end in time.
    :param output: the end of what it printed, without secrets.
    """

    exit_code: int | None
    took_s: float
    output: str
    error: str | None = None

    @property
    def text(self) -> str:
        """The outcome in one line."""
        said = f": {self.output}" if self.output else ""
        if self.error:
            return f"the restart command failed ({self.error}){said}"
        if self.exit_code:
            return f"the restart command ended with code {self.exit_code} after {self.took_s:.1f} s{said}"
        return f"the restart command succeeded after {self.took_s:.1f} s"

    def to_dict(self) -> dict[str, Any]:
        """Return the stored form."""
        return {
            "exit_code": self.exit_code,
            "took_s": round(self.took_s, 1),
            "output": self.output,
            "error": self.error,
            "text": self.text,
        }


def run_restart(command: str, timeout_s: float, secrets: Collection[str] = ()) -> RestartOutcome:
    """Run a command and return what it did; raises nothing.

    It is split like a shell would, but no shell sees it, and it does not get this bundle's own variables. When its
    time is over, it and its children are killed.

    :param secrets: texts that its output must not show, besides what is recognised as one.
    """
    began = time.monotonic()
    try:
        words = shlex.split(command)
    except ValueError as error:
        return RestartOutcome(None, 0.0, "", f"it cannot be read: {error}")
    if not words:
        return RestartOutcome(None, 0.0, "", "it is empty")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(SECRET_PREFIXES)}
    with tempfile.TemporaryFile() as output:  # a pipe that nobody reads could stop it
        try:
            process = subprocess.Popen(  # noqa: S603 - the operator's own command
                words,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            return RestartOutcome(None, 0.0, "", f"it did not start: {error!s:.200}")
        error_text = None
        try:
            process.wait(max(0.0, timeout_s))
        except subprocess.TimeoutExpired:
            error_text = f"not finished after {timeout_s:.1f} s, so it was killed"
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        took_s = time.monotonic() - began
        exit_code = None if error_text else process.returncode
        return RestartOutcome(exit_code, took_s, _clean(_tail(output.fileno()), secrets), error_text)


def _tail(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    start = max(0, size - 8 * MAX_OUTPUT_CHARS)
    return os.pread(descriptor, size - start, start).decode("utf-8", "replace")


def _clean(text: str, secrets: Collection[str]) -> str:
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, MASK)
    return scrub(" ".join(text.split()))[-MAX_OUTPUT_CHARS:]
