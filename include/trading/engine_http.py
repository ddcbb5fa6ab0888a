"""One request to the core engine and its raw answer: bounded in time and size, never tried twice."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import httpx

from include.errors import BadInputError, MalformedAnswerError, ServiceUnavailableError

MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""The engine keeps at most some ten thousand trades, about 5 MB; more than this is not its answer."""


@dataclass(frozen=True)
class Answer:
    """What came back: `what` names the request in messages."""

    what: str
    status: int
    content_type: str
    body: bytes


class EngineHttp:
    """Sends single requests to the engine; safe to use from several threads.

    :param base_url: for instance `http://localhost:8080`.
    :param timeout_s: for connecting and for the whole answer: one that trickles is cut off, too.
    """

    def __init__(self, base_url: str, timeout_s: float) -> None:
        try:
            self._base = httpx.URL(base_url)
        except httpx.InvalidURL as error:
            raise BadInputError(f"the engine's base address {base_url!r} is not a URL: {error}") from None
        if self._base.scheme not in ("http", "https") or not self._base.host:
            raise BadInputError(f"the engine's base address must be http(s)://host[:port], not {base_url!r}")
        self._timeout_s = timeout_s

    def what(self, method: str, path: str) -> str:
        """Return how messages name a request: `engine GET /api/health at localhost:8080`."""
        port = f":{self._base.port}" if self._base.port else ""
        return f"engine {method} {path} at {self._base.host}{port}"

    def send(self, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
        """Send one request and return its answer, whatever its status.

        :param path: percent-encoded.
        :raises ServiceUnavailableError: when the engine cannot be reached or is too slow.
        :raises MalformedAnswerError: for an answer that is too large or cannot be decoded.
        """
        what = self.what(method, path)
        deadline = time.monotonic() + self._timeout_s
        url = self._base.copy_with(raw_path=self._base.raw_path.rstrip(b"/") + path.encode())
        headers = {"Accept": "application/json"}
        try:
            with httpx.stream(method, url, json=body, timeout=self._timeout_s, headers=headers) as answer:
                content = bytearray()
                for chunk in answer.iter_bytes():
                    content += chunk
                    if time.monotonic() > deadline:
                        raise ServiceUnavailableError(f"{what} did not finish its answer in {self._timeout_s:g} s")
                    if len(content) > MAX_ANSWER_BYTES:
                        raise MalformedAnswerError(f"{what} answered more than {MAX_ANSWER_BYTES >> 20} MiB")
                return Answer(what, answer.status_code, answer.headers.get("content-type", ""), bytes(content))
        except httpx.TimeoutException:
            raise ServiceUnavailableError(
                f"{what} did not answer in {self._timeout_s:g} s; is it overloaded?"
            ) from None
        except httpx.DecodingError as error:
            raise MalformedAnswerError(f"{what} answered a body that cannot be decoded: {error}") from None
        except httpx.HTTPError as error:
            raise ServiceUnavailableError(f"{what} cannot be reached ({error}); is the engine running?") from None
