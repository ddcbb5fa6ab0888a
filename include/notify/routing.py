"""Which channels a message goes to: by its severity, as the settings say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.errors import ConfigurationError
from include.notify.message import Severity

if TYPE_CHECKING:
    from include.settings import Settings

CHANNELS = ("email", "slack", "discord", "telegram")
"""The channels that this bundle knows."""


def channels_for(settings: Settings, severity: Severity) -> tuple[str, ...]:
    """Return the channels of one severity, each once; none while notifications are switched off.

    :raises ConfigurationError: for an unknown channel; the message names the setting and the known ones.
    """
    if not settings.notifications_enabled:
        return ()
    setting, names = _asked(settings, severity)
    unknown = [name for name in names if name not in CHANNELS]
    if unknown:
        raise ConfigurationError(
            f"TRADING_OPS_{setting.upper()} names {', '.join(map(repr, unknown))}, which is no channel; "
            f"known: {', '.join(CHANNELS)}"
        )
    return names


def known_channels_for(settings: Settings, severity: Severity) -> tuple[str, ...]:
    """Return the channels of one severity without the unknown ones: what a message can be sent to all the same."""
    if not settings.notifications_enabled:
        return ()
    return tuple(name for name in _asked(settings, severity)[1] if name in CHANNELS)


def all_channels(settings: Settings) -> tuple[str, ...]:
    """Return every known channel that some severity uses."""
    used = {name for severity in Severity for name in known_channels_for(settings, severity)}
    return tuple(name for name in CHANNELS if name in used)


def _asked(settings: Settings, severity: Severity) -> tuple[str, tuple[str, ...]]:
    setting = f"{Severity(severity)}_channels"
    names: tuple[str, ...] | None = getattr(settings, setting)
    if names is None:
        setting, names = "notification_channels", settings.notification_channels
    return setting, tuple(dict.fromkeys(names))
