"""Reads the engine's answers: status first, then content type, then JSON, then its envelope.

The engine wraps every JSON answer in `{"success", "data", "error"[, "timestamp"]}`, reports many
failures with status 200 and `success: false`, and answers an unknown path with 404 and no body at all.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from include.errors import MalformedAnswerError, ServiceUnavailableError
from include.notify.scrub import excerpt, scrub

EXCERPT_CHARS = 200


def read_envelope(what: str, status: int, content_type: str, body: bytes) -> Any:
    """Return `data` of a successful answer.

    :param what: how messages name the request, for instance `engine GET /api/health at localhost:8080`.
    :raises ServiceUnavailableError: for any status but 2xx, and for `success: false` (even with 200).
    :raises MalformedAnswerError: for a body that is not JSON, holds NaN or infinity, or is no envelope.
    """
    is_json = content_type.split(";")[0].strip().lower() == "application/json"
    if not 200 <= status < 300:
        raise ServiceUnavailableError(f"{what} answered status {status}{_reason(status, is_json, body)}")
    if not is_json:
        raise MalformedAnswerError(
            f"{what} answered {content_type or 'no content type'} instead of JSON: {_excerpt(body)}; "
            "does the base address point to the engine?"
        )
    envelope = _load(what, body)
    if not isinstance(envelope, dict) or not isinstance(envelope.get("success"), bool):
        raise MalformedAnswerError(f"{what} answered without the key `success` (true or false): {_excerpt(body)}")
    if not envelope["success"]:
        raise ServiceUnavailableError(f"{what} answered success: false, error: {_said(envelope.get('error'))}")
    if envelope.get("data") is None:
        raise MalformedAnswerError(f"{what} answered success: true without `data`: {_excerpt(body)}")
    return envelope["data"]


def _load(what: str, body: bytes) -> object:
    def refuse_constant(name: str) -> NoReturn:
        raise MalformedAnswerError(f"{what} answered JSON that holds the number {name}")

    try:
        return json.loads(body, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise MalformedAnswerError(f"{what} answered broken JSON ({error}): {_excerpt(body)}") from None


def _reason(status: int, is_json: bool, body: bytes) -> str:
    if not body:
        hint = "; it has no such path: check the base address and the engine's version" if status == 404 else ""
        return f" and an empty body{hint}"
    if is_json:
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            return f": {_excerpt(body)}"
        if isinstance(answer, dict) and answer.get("error"):
            return f", error: {_said(answer['error'])}"
    return f": {_excerpt(body)}"


def _said(error: object) -> str:
    return excerpt(repr(error), 300)


def _excerpt(body: bytes) -> str:
    text = scrub(" ".join(body[: EXCERPT_CHARS * 4].decode("utf-8", "replace").split()))
    if not text:
        return "(an empty body)"
    return repr(text if len(text) <= EXCERPT_CHARS else text[:EXCERPT_CHARS] + "...")
