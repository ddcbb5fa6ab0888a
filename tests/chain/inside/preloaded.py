"""Lets the scheduler import the libraries that tasks use, before its worker processes fork off.

A task is a fork of a fork of the scheduler, and what is imported there it need not import again: three quarters of
the processor time of a short task were imports of other people's libraries. Nothing of the bundle is imported here:
that each task still does itself. `test_up_and_down.py` runs a training in an environment without this.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from after_import import AfterImport

EXECUTOR = "airflow.executors.local_executor"
LIBRARIES = (
    "airflow.sdk.definitions.decorators",
    "airflow.providers.discord.hooks.discord_webhook",
    "airflow.providers.mongo.hooks.mongo",
    "airflow.providers.slack.hooks.slack_webhook",
    "airflow.providers.smtp.hooks.smtp",
    "airflow.providers.standard.operators.trigger_dagrun",
    "airflow.providers.telegram.hooks.telegram",
    "cryptography.hazmat.primitives.ciphers.aead",
    "httpx",
    "matplotlib.backends.backend_agg",
    "matplotlib.dates",
    "numpy",
    "openai",
    "pymongo",
    "scipy.signal",
    "scipy.stats",
)
MORE_VARIABLE = "CHAIN_PRELOADED_TOO"
"""Names further modules, comma-separated."""


def load(executor: Any) -> None:
    """Import them all."""
    del executor
    more = filter(None, os.environ.get(MORE_VARIABLE, "").split(","))
    for name in (*LIBRARIES, *more):
        importlib.import_module(name)


def install() -> None:
    """Import the libraries once this process has imported the executor, if it is the scheduler."""
    if os.environ.get("TRADING_OPS_COMPONENT") == "scheduler":
        AfterImport(EXECUTOR, load)
