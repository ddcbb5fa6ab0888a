"""Sends messages to a Telegram chat through the Airflow connection that the settings name."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import telegram
from airflow.providers.telegram.hooks.telegram import TelegramHook
from telegram.request import HTTPXRequest

from include.notify.telegram_answers import explained
from include.notify.telegram_payload import telegram_text

if TYPE_CHECKING:
    from include.notify.message import Message

TIMEOUT_S = 10.0
PUBLIC_URL = "https://api.telegram.org/bot"

logging.getLogger("httpx").setLevel(logging.WARNING)  # at INFO it writes every address, and with it the bot's token


class BotHook(TelegramHook):
    """The provider's hook, for the Bot API at the connection's extra `base_url` (default: Telegram's own)."""

    def __init__(self, conn_id: str) -> None:
        self._base_url = str(self.get_connection(conn_id).extra_dejson.get("base_url") or PUBLIC_URL)
        self._request = HTTPXRequest(1, TIMEOUT_S, TIMEOUT_S, TIMEOUT_S)
        super().__init__(telegram_conn_id=conn_id)

    def get_conn(self) -> telegram.Bot:
        """Return the client of the Bot API."""
        return telegram.Bot(self.token, base_url=self._base_url, request=self._request)

    async def post(self, text: str) -> None:
        """Send the text to the connection's chat, once: the hook's own method tries five times."""
        try:
            sending = self.connection.send_message(self.chat_id or "", text, "HTML", disable_web_page_preview=True)
            await asyncio.wait_for(sending, TIMEOUT_S)
        finally:
            await self._request.shutdown()


class TelegramSender:
    """A sender for the outbox. :param conn_id: a connection of type `telegram`: token as password, chat as host."""

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id

    def __call__(self, message: Message) -> None:
        """Send the message; raises what `telegram_answers.explained` returns."""
        try:
            asyncio.run(BotHook(self._conn_id).post(telegram_text(message)))
        except (telegram.error.TelegramError, TimeoutError) as error:
            raise explained(error, self._conn_id) from None
