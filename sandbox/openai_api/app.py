"""A stand-in for an OpenAI-compatible endpoint: `POST /v1/chat/completions` and the list of models."""

from __future__ import annotations

import json
import secrets
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.kit.app import SandboxApp
from sandbox.openai_api import bodies, checks
from sandbox.openai_api.judge import answer_for


@dataclass(frozen=True)
class CannedAnswer:
    """What the next request gets: `content` as it is, or a refusal; usage is computed when not given."""

    content: str | None = None
    refusal: str | None = None
    finish_reason: str = "stop"
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    @classmethod
    def from_json(cls, value: Any) -> CannedAnswer:
        """Build it from a string or an object.

        :raises TypeError: for anything else, or an unknown key.
        """
        if isinstance(value, str):
            return cls(content=value)
        if not isinstance(value, dict):
            raise TypeError(f"an answer is a string or an object, not {type(value).__name__}")
        return cls(**value)


class OpenAiService:
    """The endpoint, its queue of canned answers, its default judgement."""

    def __init__(self) -> None:
        self.answers: deque[CannedAnswer] = deque()

    def app(self) -> SandboxApp:
        """Return the application with its control endpoint."""
        routes = [
            Route("/v1/chat/completions", self._complete, methods=["POST"]),
            Route("/v1/models", self._models, methods=["GET"]),
        ]
        service = Starlette(routes=routes, exception_handlers={404: _unknown_url, 405: _unknown_url})
        control = [
            Route("/answers", self._add_answers, methods=["POST"]),
            Route("/answers", self._count_answers, methods=["GET"]),
        ]
        return SandboxApp("openai_api", service, control=control, on_reset=self.answers.clear)

    async def _complete(self, request: Request) -> Response:
        refused = checks.check_key(request.headers.get("authorization", ""))
        body: Any = None
        if refused is None:
            try:
                body = json.loads(await request.body())
            except ValueError:
                body = None
            refused = checks.check_body(body)
        if refused is not None:
            return _respond(refused[1], refused[0])
        return _respond(self._completion(body))

    def _completion(self, body: dict[str, Any]) -> dict[str, Any]:
        messages = body["messages"]
        canned = self.answers.popleft() if self.answers else None
        if canned is None:
            schema = ((body.get("response_format") or {}).get("json_schema") or {}).get("schema")
            prompt = "\n".join(bodies.message_text(entry) for entry in messages if entry.get("role") != "assistant")
            canned = CannedAnswer(answer_for(prompt, schema))
        content, finish_reason = canned.content, canned.finish_reason
        longest = body.get("max_completion_tokens") or body.get("max_tokens")
        if content is not None and longest is not None and bodies.count_tokens(content) > longest:
            content = content.encode()[: longest * bodies.BYTES_PER_TOKEN].decode(errors="ignore")
            finish_reason = "length"
        used = bodies.count_tokens(content or canned.refusal or "")
        return bodies.completion(
            body["model"],
            content,
            prompt=bodies.prompt_tokens(messages) if canned.prompt_tokens is None else canned.prompt_tokens,
            answer=used if canned.completion_tokens is None else canned.completion_tokens,
            finish_reason=finish_reason,
            refusal=canned.refusal,
        )

    async def _models(self, request: Request) -> Response:
        refused = checks.check_key(request.headers.get("authorization", ""))
        if refused is not None:
            return _respond(refused[1], refused[0])
        names = [*bodies.SNAPSHOTS, *bodies.SNAPSHOTS.values()]
        data = [{"id": name, "object": "model", "created": 1715367049, "owned_by": "system"} for name in names]
        return _respond({"object": "list", "data": data})

    async def _add_answers(self, request: Request) -> Response:
        try:
            self.answers.extend([CannedAnswer.from_json(value) for value in (await request.json())["answers"]])
        except (KeyError, TypeError, ValueError) as error:
            return JSONResponse({"error": f"not a list of answers: {error}"}, status_code=400)
        return JSONResponse({"waiting": len(self.answers)})

    async def _count_answers(self, _: Request) -> Response:
        return JSONResponse({"waiting": len(self.answers)})


def _respond(body: dict[str, Any], status: int = 200) -> Response:
    headers = {
        "x-request-id": f"req_{secrets.token_hex(16)}",
        "openai-version": "2020-10-01",
        "openai-processing-ms": str(int(time.monotonic() * 1000) % 900 + 100),
    }
    return JSONResponse(body, status_code=status, headers=headers)


async def _unknown_url(request: Request, error: Any) -> Response:
    if error.status_code == 405:
        hint = "(HINT: Perhaps you meant to use another HTTP method?)"
        message = f"Not allowed to {request.method} on {request.url.path} {hint}"
        return _respond(bodies.error(message, "invalid_request_error", "method_not_supported"), 405)
    message = f"Invalid URL ({request.method} {request.url.path})"
    return _respond(bodies.error(message, "invalid_request_error"), 404)
