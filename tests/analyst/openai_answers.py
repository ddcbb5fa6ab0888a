"""An OpenAI-compatible endpoint's answers, in their real form."""

from __future__ import annotations

import json
from typing import Any

from tests.trading.loopback import Reply, as_json

PATH = "/v1/chat/completions"
KEY = "sk-proj-THISisTHEsecretKEY0123456789"

VERDICT: dict[str, Any] = {
    "reasoning": "Structural decay: the win rate fell on every day and the LSTM lost seven points.",
    "recommendation": "retrain",
    "model_types": ["lstm", "gru", "transformer"],
    "confidence": 0.85,
    "urgency": "high",
    "suggested_actions": ["Retrain all 3 models with the last 60 days"],
    "estimated_improvement": "8-12% expected win rate improvement",
}


def verdict(**changes: object) -> str:
    return json.dumps({key: value for key, value in {**VERDICT, **changes}.items() if value is not ...})


def completion(
    content: str | None,
    prompt_tokens: int = 500,
    completion_tokens: int = 200,
    finish_reason: str = "stop",
    **message: Any,
) -> Reply:
    return as_json(completion_body(content, prompt_tokens, completion_tokens, finish_reason, **message))


def completion_body(
    content: str | None,
    prompt_tokens: int = 500,
    completion_tokens: int = 200,
    finish_reason: str = "stop",
    **message: Any,
) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1763780400,
        "model": "gpt-4o-2024-08-06",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content, "refusal": None, **message},
                "logprobs": None,
                "finish_reason": finish_reason,
            }
        ],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        },
    }


def api_error(status: int, message: str, code: str | None = None, **headers: str) -> Reply:
    body = {"error": {"message": message, "type": "error", "param": None, "code": code}}
    return as_json(body, status, **headers)
