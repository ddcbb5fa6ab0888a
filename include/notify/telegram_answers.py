"""What Telegram's refusals mean for a message: refused for good, or try again later."""

from __future__ import annotations

import re

from telegram.error import BadRequest, ChatMigrated, Forbidden, InvalidToken, RetryAfter

from include.errors import ConfigurationError, TradingOpsError
from include.notify.errors import LONGEST_WAIT_S, ChannelBusyError, RefusedMessageError
from include.notify.http_answers import no_answer
from include.notify.scrub import scrub

ABOUT_CHAT = re.compile(r"chat not found|chat_id|peer_id|have no rights|not enough rights|administrator rights", re.I)


def explained(error: Exception, conn_id: str) -> TradingOpsError:
    """Return the error of ours that says what the library's one means; its text holds no token."""
    said = scrub(str(error))[:200]
    if isinstance(error, RetryAfter):
        wait_s = min(float(error.__reduce__()[1][0]), LONGEST_WAIT_S)  # the property warns about a type to come
        return ChannelBusyError(f"Telegram asks to wait {wait_s:g} s", wait_s)
    if isinstance(error, InvalidToken):
        return ConfigurationError(f"Telegram does not know the bot: correct the token in the connection {conn_id}")
    if isinstance(error, (Forbidden, ChatMigrated)) or (isinstance(error, BadRequest) and ABOUT_CHAT.search(said)):
        return ConfigurationError(f"Telegram's chat takes no messages ({said}): correct the connection {conn_id}")
    if isinstance(error, BadRequest):
        return RefusedMessageError(f"Telegram refuses this message ({said})")
    return no_answer("Telegram", error)
