"""Slack's incoming webhook, Discord's webhook and Telegram's Bot API, with the limits that bite."""

from __future__ import annotations

import json
import re
import time
from itertools import count
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from sandbox.sinks.inbox import Inbox

DISCORD_LIMITS = {"title": 256, "description": 4096}
DISCORD_FIELD_LIMITS = {"name": 256, "value": 1024}
TELEGRAM_MAX_CHARS = 4096
TELEGRAM_TAGS = {
    "a", "b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "span", "tg-spoiler", "tg-emoji", "code", "pre",
    "blockquote",
}  # fmt: skip


class Webhooks:
    """The three webhooks on one server; what they accept goes to the inbox."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._ids = count(1)

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/services/{path:path}", self._slack, methods=["POST"]),
            Route("/api/webhooks/{id}/{token}", self._discord, methods=["POST"]),
            Route("/bot{token}/sendMessage", self._telegram, methods=["POST"]),
            Route("/bot{token}/getMe", self._telegram_me, methods=["GET", "POST"]),
        ]

    async def _slack(self, request: Request) -> Response:
        payload = await _payload(request)
        if not isinstance(payload, dict):
            return PlainTextResponse("invalid_payload", status_code=400)
        if not any(payload.get(name) for name in ("text", "attachments", "blocks")):
            return PlainTextResponse("no_text", status_code=400)
        if len(payload.get("blocks") or []) > 50 or len(payload.get("attachments") or []) > 100:
            return PlainTextResponse(
                "invalid_blocks" if payload.get("blocks") else "too_many_attachments", status_code=400
            )
        self._inbox.add("slack", payload)
        return PlainTextResponse("ok")

    async def _discord(self, request: Request) -> Response:
        payload = await _payload(request)
        if not isinstance(payload, dict):
            return JSONResponse({"message": "Invalid Form Body", "code": 50109}, status_code=400)
        if not payload.get("content") and not payload.get("embeds"):
            return JSONResponse({"message": "Cannot send an empty message", "code": 50006}, status_code=400)
        errors = _discord_errors(payload)
        if errors:
            body = {"message": "Invalid Form Body", "code": 50035, "errors": errors}
            return JSONResponse(body, status_code=400)
        self._inbox.add("discord", payload)
        if request.query_params.get("wait") == "true":
            return JSONResponse({"id": str(next(self._ids)), "type": 0, **payload})
        return Response(status_code=204)

    async def _telegram(self, request: Request) -> Response:
        payload = await _payload(request)
        if not isinstance(payload, dict) or not payload.get("chat_id"):
            return _telegram_error("chat_id is empty")
        text = str(payload.get("text") or "")
        if not text:
            return _telegram_error("message text is empty")
        if len(text) > TELEGRAM_MAX_CHARS:
            return _telegram_error("message is too long")
        if str(payload.get("parse_mode", "")).upper() == "HTML":
            complaint = _telegram_html(text)
            if complaint:
                return _telegram_error(f"can't parse entities: {complaint}")
        self._inbox.add("telegram", payload)
        message = {
            "message_id": next(self._ids),
            "from": _BOT,
            "chat": {"id": payload["chat_id"], "type": "private"},
            "date": int(time.time()),
            "text": text,
        }
        return JSONResponse({"ok": True, "result": message})

    async def _telegram_me(self, _: Request) -> Response:
        return JSONResponse({"ok": True, "result": _BOT})


_BOT = {"id": 1, "is_bot": True, "first_name": "Sandbox", "username": "sandbox_bot"}


async def _payload(request: Request) -> Any:
    """Return the body of a JSON or form request; Slack's and Discord's `payload` form field is unpacked."""
    text = (await request.body()).decode("utf-8", "replace")
    if "x-www-form-urlencoded" in request.headers.get("content-type", ""):
        form: dict[str, Any] = dict(parse_qsl(text, keep_blank_values=True))
        text = form.get("payload", "")
        if not text:
            return form
    try:
        return json.loads(text)
    except ValueError:
        return None


def _discord_errors(payload: dict[str, Any]) -> dict[str, Any]:
    def too_long(limit: int) -> dict[str, Any]:
        text = f"Must be {limit} or fewer in length."
        return {"_errors": [{"code": "BASE_TYPE_MAX_LENGTH", "message": text}]}

    errors: dict[str, Any] = {}
    if len(payload.get("content") or "") > 2000:
        errors["content"] = too_long(2000)
    embeds: dict[str, Any] = {}
    for at, embed in enumerate(payload.get("embeds") or []):
        found = {name: too_long(limit) for name, limit in DISCORD_LIMITS.items() if len(embed.get(name) or "") > limit}
        fields = embed.get("fields") or []
        if len(fields) > 25:
            found["fields"] = too_long(25)
        for position, field in enumerate(fields):
            for name, limit in DISCORD_FIELD_LIMITS.items():
                if not 0 < len(str(field.get(name) or "")) <= limit:
                    found.setdefault("fields", {}).setdefault(str(position), {})[name] = too_long(limit)
        if found:
            embeds[str(at)] = found
    if embeds:
        errors["embeds"] = embeds
    return errors


def _telegram_error(description: str) -> Response:
    body = {"ok": False, "error_code": 400, "description": f"Bad Request: {description}"}
    return JSONResponse(body, status_code=400)


def _telegram_html(text: str) -> str:
    """Return Telegram's complaint about a text in its HTML, or an empty string."""
    opened: list[str] = []
    for match in re.finditer(r"<(/?)([^\s>/]*)[^>]*>?", text):
        closing, tag, at = match[1], match[2].lower(), len(text[: match.start()].encode())
        if tag not in TELEGRAM_TAGS or not match[0].endswith(">"):
            return f'Unsupported start tag "{match[2]}" at byte offset {at}'
        if not closing:
            opened.append(tag)
        elif not opened or opened.pop() != tag:
            return f"Unmatched end tag at byte offset {at}"
    return f"Can't find end tag corresponding to start tag {opened[-1]}" if opened else ""
