"""Bodies of the chat completions API: answers, errors, and the counting of tokens."""

from __future__ import annotations

import secrets
import time
from typing import Any

BYTES_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 3

# The API answers with the dated snapshot behind a model's alias.
SNAPSHOTS = {
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4-turbo": "gpt-4-turbo-2024-04-09",
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-4": "gpt-4-0613",
}


def count_tokens(text: str) -> int:
    """Return about as many tokens as a text has: one for four bytes."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def prompt_tokens(messages: list[dict[str, Any]]) -> int:
    """Return the tokens of a prompt: its texts and a few for each message."""
    return sum(count_tokens(message_text(message)) + TOKENS_PER_MESSAGE for message in messages) + TOKENS_PER_MESSAGE


def message_text(message: dict[str, Any]) -> str:
    """Return the text of a message, whose content is a string or a list of parts."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def completion(
    model: str,
    content: str | None,
    *,
    prompt: int,
    answer: int,
    finish_reason: str = "stop",
    refusal: str | None = None,
) -> dict[str, Any]:
    """Return a `chat.completion` object; `prompt` and `answer` are numbers of tokens."""
    return {
        "id": f"chatcmpl-{secrets.token_hex(14)}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": SNAPSHOTS.get(model, model),
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content, "refusal": refusal, "annotations": []},
                "logprobs": None,
                "finish_reason": finish_reason,
            }
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": answer,
            "total_tokens": prompt + answer,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        "service_tier": "default",
        "system_fingerprint": "fp_sandbox",
    }


def error(message: str, kind: str, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """Return an error body."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def invalid_key(key: str) -> dict[str, Any]:
    """Return the body of a 401 for a wrong key."""
    shown = key if len(key) < 8 else f"{key[:4]}{'*' * (len(key) - 8)}{key[-4:]}"
    message = (
        f"Incorrect API key provided: {shown}. "
        "You can find your API key at https://platform.openai.com/account/api-keys."
    )
    return error(message, "invalid_request_error", "invalid_api_key")


def missing_key() -> dict[str, Any]:
    """Return the body of a 401 for a request without a key."""
    message = (
        "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
        "(i.e. Authorization: Bearer YOUR_KEY)."
    )
    return error(message, "invalid_request_error")


def rate_limited(model: str = "gpt-4o", wait_s: float = 20.0) -> dict[str, Any]:
    """Return the body of a 429 for too many requests."""
    message = (
        f"Rate limit reached for {model} in organization org-sandbox on requests per min (RPM): Limit 3, Used 3, "
        f"Requested 1. Please try again in {wait_s:g}s. "
        "Visit https://platform.openai.com/account/rate-limits to learn more."
    )
    return error(message, "requests", "rate_limit_exceeded")


def quota_exceeded() -> dict[str, Any]:
    """Return the body of a 429 for an account without credit: trying again does not help."""
    message = (
        "You exceeded your current quota, please check your plan and billing details. For more information on this "
        "error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors."
    )
    return error(message, "insufficient_quota", "insufficient_quota")


def server_error() -> dict[str, Any]:
    """Return the body of a 500."""
    return error("The server had an error while processing your request. Sorry about that!", "server_error")
