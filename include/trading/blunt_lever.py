"""Stops all new entries of an engine that cannot disable one strategy, and undoes it.

Two levers, both settings of the shipped engine. Open positions keep their stops and complete; stopping the engine
(`POST /api/paper-trading/stop`) would end the monitor of stop-loss and take-profit with it, and is never used.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Literal

from include.errors import MalformedAnswerError, ServiceUnavailableError
from include.trading.engine_commands import EngineCommands

Lever = Literal["both_directions", "min_confidence"]

MODES = ("short_only_mode", "long_only_mode")
"""Both at once: the strategy loop drops both directions."""
THRESHOLD = "min_confidence_threshold"
NEVER_REACHED = 1.0
"""A signal's confidence stays below; the engine drops what is below the threshold."""

DESCRIPTIONS: dict[Lever, str] = {
    "both_directions": "short-only and long-only mode at once: the strategy loop enters neither direction "
    "(analyses started by hand and manual orders are not stopped)",
    "min_confidence": "a minimum confidence of 1.0: no signal reaches it",
}


def setting(commands: EngineCommands, lever: Lever) -> dict[str, Any]:
    """Return the values that the lever acts on, as the engine has them now.

    :raises MalformedAnswerError: when the engine's settings lack them.
    """
    if lever == "both_directions":
        groups = commands.basic_settings()
        found = {
            name: group[name]
            for group in groups.values()
            if isinstance(group, dict)
            for name in MODES
            if isinstance(group.get(name), bool)
        }
        if set(found) != set(MODES):
            missing = ", ".join(name for name in MODES if name not in found)
            raise MalformedAnswerError(f"the engine's basic settings lack {missing} (true or false)")
        return found
    return {THRESHOLD: _threshold(commands.strategy_settings())}


def stopped(lever: Lever) -> dict[str, Any]:
    """Return the values with which nothing enters."""
    return dict.fromkeys(MODES, True) if lever == "both_directions" else {THRESHOLD: NEVER_REACHED}


def holds(commands: EngineCommands, lever: Lever) -> bool:
    """Return whether the lever is pulled now."""
    return setting(commands, lever) == stopped(lever)


def put(commands: EngineCommands, lever: Lever, values: Mapping[str, Any]) -> None:
    """Write the lever's values and read them back.

    :param values: of :func:`stopped`, or former ones of :func:`setting`.
    :raises ServiceUnavailableError: when the engine accepted them and shows others.
    """
    wanted = dict(values)
    if lever == "both_directions":
        commands.change_basic_settings(wanted)
    else:
        whole = copy.deepcopy(commands.strategy_settings())
        _threshold(whole)
        whole["engine"][THRESHOLD] = wanted[THRESHOLD]
        commands.replace_strategy_settings(whole)
    after = setting(commands, lever)
    if after != wanted:
        raise ServiceUnavailableError(f"the engine accepted {wanted} and shows {after}: the change did not take effect")


def _threshold(settings: Mapping[str, Any]) -> float:
    engine = settings.get("engine")
    value = engine.get(THRESHOLD) if isinstance(engine, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MalformedAnswerError(f"the engine's strategy settings have engine.{THRESHOLD} {value!r:.60}, no number")
    return float(value)
