"""What the answers of webhooks mean for a message: taken, refused for good, or try again later."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from include.errors import ConfigurationError, ServiceUnavailableError
from include.notify.errors import LONGEST_WAIT_S, ChannelBusyError, RefusedMessageError
from include.notify.scrub import scrub

REFUSING = (400, 413, 422)
CONFIGURED_WRONG = (401, 403, 404, 410)


def check_answer(
    service: str, conn_id: str, status: int, text: str, retry_after_s: float | None, about_channel: re.Pattern[str]
) -> None:
    """Return for an accepted message, raise for any other.

    :param about_channel: complaints with status 400 that concern the webhook, not the message.
    :raises RefusedMessageError: the service will never take this message.
    :raises ChannelBusyError: it asks to wait.
    :raises ConfigurationError: it does not know the webhook; the connection has to be corrected.
    :raises ServiceUnavailableError: anything else.
    """
    if 200 <= status <= 204:
        return
    said = f"HTTP {status}: {scrub(' '.join(text.split()))[:200] or 'no text'}"
    if retry_after_s is not None or status == 429:
        wait_s = min(retry_after_s or 1.0, LONGEST_WAIT_S)
        raise ChannelBusyError(f"{service} asks to wait {wait_s:g} s ({said})", wait_s)
    if status in CONFIGURED_WRONG or (status in REFUSING and about_channel.search(text)):
        raise ConfigurationError(f"{service} does not take messages ({said}): correct the connection {conn_id}")
    if status in REFUSING:
        raise RefusedMessageError(f"{service} refuses this message ({said})")
    raise ServiceUnavailableError(f"{service} failed ({said}); the message is tried again")


def no_answer(service: str, error: BaseException) -> ServiceUnavailableError:
    """Return the error for a request without an answer; only the kind is said, the text may hold the address."""
    return ServiceUnavailableError(f"{service} did not answer ({type(error).__name__}); the message is tried again")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of a `Retry-After` header (a number or a date); None without a usable one."""
    value = next((value for name, value in headers.items() if name.lower() == "retry-after"), "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            at = parsedate_to_datetime(value)
        except ValueError:
            return None
        seconds = (at.astimezone(UTC) - datetime.now(UTC)).total_seconds()
    return max(seconds, 0.0) if seconds == seconds and seconds != float("inf") else None
