"""Which channels a severity goes to."""

from __future__ import annotations

import pytest

from include.errors import ConfigurationError
from include.notify.message import Severity
from include.notify.routing import CHANNELS, all_channels, channels_for, known_channels_for
from include.settings import Settings


def test_every_severity_goes_to_all_channels_unless_it_has_its_own() -> None:
    settings = Settings(
        notification_channels=("email", "slack"),
        warning_channels=("telegram",),
        info_channels=(),
        notifications_enabled=True,
    )
    assert channels_for(settings, Severity.ERROR) == channels_for(settings, Severity.CRITICAL) == ("email", "slack")
    assert channels_for(settings, Severity.WARNING) == ("telegram",)
    assert channels_for(settings, Severity.INFO) == ()
    assert all_channels(settings) == ("email", "slack", "telegram")


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADING_OPS_NOTIFICATION_CHANNELS", " slack , slack,email")
    monkeypatch.setenv("TRADING_OPS_CRITICAL_CHANNELS", "email,slack,discord,telegram")
    settings = Settings(notifications_enabled=True)
    assert channels_for(settings, Severity.INFO) == ("slack", "email")
    assert channels_for(settings, Severity.CRITICAL) == CHANNELS


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"notification_channels": ("slack", "sms")}, "TRADING_OPS_NOTIFICATION_CHANNELS"),
        ({"critical_channels": ("Slack", "sms")}, "TRADING_OPS_CRITICAL_CHANNELS"),
    ],
)
def test_unknown_channel_is_refused_with_the_known_ones(values: dict[str, tuple[str, ...]], name: str) -> None:
    settings = Settings(notifications_enabled=True, **values)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=f"{name}.*'sms'.*known: email, slack, discord, telegram"):
        channels_for(settings, Severity.CRITICAL)
    assert "sms" not in known_channels_for(settings, Severity.CRITICAL)


def test_switched_off_means_no_channel() -> None:
    settings = Settings(notifications_enabled=False, critical_channels=("email",))
    assert channels_for(settings, Severity.CRITICAL) == all_channels(settings) == ()
