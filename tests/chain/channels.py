"""Where the messages of the chain's runs have to arrive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from include.notify.routing import CHANNELS


def delivered_everywhere(message: Mapping[str, Any]) -> bool:
    """Return whether all four channels have taken a message of the outbox."""
    states = {channel: state["state"] for channel, state in message["channels"].items()}
    return states == dict.fromkeys(CHANNELS, "delivered")
