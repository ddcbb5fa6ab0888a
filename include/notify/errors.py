"""How a channel says no: for this message, or for a while. Any other error means: try again later."""

from __future__ import annotations

from include.errors import ServiceUnavailableError, TradingOpsError

LONGEST_WAIT_S = 3600.0
"""What a service asks for is granted up to here."""


class RefusedMessageError(TradingOpsError):
    """The service will never take this very message; those behind it are not concerned."""


class ChannelBusyError(ServiceUnavailableError):
    """The service asks to be left alone for a while (429, `Retry-After`).

    :param retry_after_s: seconds; nothing is sent to the channel before.
    """

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
