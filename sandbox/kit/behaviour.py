"""What a stand-in does instead of its normal answer: slow, failing, refusing, malformed, silent."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any


class BehaviourError(ValueError):
    """A behaviour that was asked for makes no sense; the message names the key and the remedy."""


@dataclass
class Behaviour:
    """One scripted deviation, for the requests whose path matches a shell pattern.

    Without `status`, `body`, `json`, `drop` or `success_false` the normal answer follows after `delay_s`.
    """

    path: str = "*"
    """Shell pattern for the path, without the query: `/api/paper-trading/*`."""
    method: str | None = None
    times: int | None = None
    """Number of requests it applies to; afterwards the service is back to normal. None: until reset."""
    delay_s: float = 0.0
    status: int | None = None
    body: str | None = None
    """Raw body, sent as it is (HTML, half a JSON document)."""
    json: Any = None
    """Body that is serialised; ignored when `body` is given."""
    content_type: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    retry_after: float | None = None
    """Seconds for the header Retry-After; implies status 429 unless another is given."""
    drop: bool = False
    """Close the connection without a single byte of an answer."""
    truncate: bool = False
    """Send the headers and half of the normal or scripted body, then close the connection."""
    success_false: str | None = None
    """Error text of the core engine's failure envelope, HTTP 200 unless a status is given."""

    @classmethod
    def from_json(cls, data: Any) -> Behaviour:
        """Build it from a control request's body.

        :raises BehaviourError: for an unknown key or a value that cannot be meant.
        """
        if not isinstance(data, dict):
            raise BehaviourError(f"a behaviour is a JSON object, not {type(data).__name__}")
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(data) - known)
        if unknown:
            raise BehaviourError(f"unknown behaviour key(s) {', '.join(unknown)}; known: {', '.join(sorted(known))}")
        behaviour = cls(**data)
        if behaviour.times is not None and behaviour.times < 1:
            raise BehaviourError(f"times is {behaviour.times}; use 1 or more, or leave it out for 'until reset'")
        if behaviour.delay_s < 0:
            raise BehaviourError(f"delay_s is {behaviour.delay_s}; use 0 or more seconds")
        if behaviour.status is not None and not 200 <= behaviour.status <= 599:
            raise BehaviourError(f"status is {behaviour.status}; use an HTTP status from 200 to 599")
        return behaviour

    @property
    def replaces_answer(self) -> bool:
        """Whether the normal answer is not even computed."""
        asked = (self.status, self.body, self.json, self.success_false, self.retry_after)
        return any(value is not None for value in asked)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of the scripted answer."""
        status = self.status or (429 if self.retry_after is not None else 200)
        headers: dict[str, str] = {}
        if self.body is not None:
            body, content_type = self.body, "text/html; charset=utf-8"
        elif self.json is not None:
            body, content_type = json.dumps(self.json), "application/json"
        elif self.success_false is not None:
            body = json.dumps({"success": False, "data": None, "error": self.success_false})
            content_type = "application/json"
        else:
            body, content_type = "", ""
        content_type = self.content_type or content_type
        if content_type:
            headers["content-type"] = content_type
        if self.retry_after is not None:
            headers["retry-after"] = f"{self.retry_after:g}"
        headers.update({name.lower(): value for name, value in self.headers.items()})
        return status, headers, body.encode()


class BehaviourBook:
    """The behaviours of one server, asked in the order in which they were set."""

    def __init__(self) -> None:
        self._pages: list[Behaviour] = []

    def add(self, behaviour: Behaviour) -> None:
        """Append a behaviour: of several that match, the oldest with requests left applies."""
        self._pages.append(behaviour)

    def clear(self) -> None:
        """Forget all: the service is back to normal."""
        self._pages.clear()

    def take(self, method: str, path: str) -> Behaviour | None:
        """Return the behaviour for a request, counting it, or None for the normal answer."""
        for behaviour in self._pages:
            if behaviour.method not in {None, method} or not fnmatchcase(path, behaviour.path):
                continue
            if behaviour.times is not None:
                behaviour.times -= 1
                if behaviour.times == 0:
                    self._pages.remove(behaviour)
            return behaviour
        return None

    def __len__(self) -> int:
        """Return the number of behaviours that still apply."""
        return len(self._pages)
