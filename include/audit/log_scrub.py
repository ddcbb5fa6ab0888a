"""Blacks out secrets in task logs: Airflow's own masker knows connections and variables, not what a service answers."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from include.audit.masking import masked
from include.notify.scrub import scrub

UNTOUCHED = frozenset({"timestamp", "level", "logger", "filename", "lineno"})


def scrub_event(logger: Any, method_name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Return a log event with every recognised secret as `***`, in its text, its values and its stack: a processor.

    :param event: as it is just before it is written: the exception is a structure of texts already.
    """
    del logger, method_name
    for name, value in event.items():
        if name in UNTOUCHED:
            continue
        if isinstance(value, str):
            event[name] = scrub(value)
        elif isinstance(value, (dict, list, tuple)):
            event[name] = masked(value)[0]
    return event


def install() -> None:
    """Put the processor before the one that writes, for structlog's loggers and the standard ones; once per process."""
    import structlog

    chains = [structlog.get_config()["processors"]]
    chains += [getattr(handler.formatter, "processors", None) for handler in logging.getLogger().handlers]
    for chain in chains:
        if isinstance(chain, list) and chain and scrub_event not in chain:
            chain.insert(len(chain) - 1, scrub_event)
