"""A message to people: what is said, how serious it is, and the key under which it is said only once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from include.errors import BadInputError
from include.notify.scrub import MASK, is_sensitive_name, scrub

MAX_BODY_CHARS = 10_000
MAX_HTML_CHARS = 100_000
MAX_VALUE_CHARS = 3_000
"""Of a field: no channel shows more."""


class Severity(StrEnum):
    """How serious a message is, lowest first."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


MAX_IMAGE_BYTES = 500_000
MAX_IMAGES = 4
IMAGE_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}\.png")


@dataclass(frozen=True)
class Image:
    """A PNG that the HTML form shows with `<img src="cid:{name}" alt="...">`; chats do not get it.

    :param alt: what it shows, in words, for whoever does not see it.
    :raises BadInputError: for another format, a name like `equity chart.png`, or more than 500 kB.
    """

    name: str
    png: bytes
    alt: str

    def __post_init__(self) -> None:
        if not IMAGE_NAME.fullmatch(self.name) or not self.alt.strip():
            raise BadInputError(
                f"an image needs a name such as equity.png and an alt text: {self.name!r}, {self.alt!r}"
            )
        if not self.png.startswith(b"\x89PNG") or len(self.png) > MAX_IMAGE_BYTES:
            raise BadInputError(f"{self.name} must be a PNG of at most {MAX_IMAGE_BYTES} bytes, got {len(self.png)}")


EMOJI = {Severity.INFO: "ℹ️", Severity.WARNING: "⚠️", Severity.ERROR: "❌", Severity.CRITICAL: "🚨"}


@dataclass(frozen=True)
class Message:
    """One message, the same for every channel; secrets are blacked out as soon as it is made.

    :param title: one line.
    :param body: plain text; channels escape and shorten it as they need.
    :param html: the body of an HTML mail, where the plain text is not enough; its values are escaped already.
    :param chat: a compact form of the body for chats, plain text; empty: the body.
    :param images: what `html` shows.
    :param fields: short facts shown beside the text, in this order; values become text.
    :param dedupe_key: the message is kept and delivered once under this key, however often it is put.
    :param created_at: aware time; now when omitted.
    :raises BadInputError: for an empty title or key, or a time without a zone.
    """

    severity: Severity
    title: str
    body: str
    dedupe_key: str
    fields: Mapping[str, str] = field(default_factory=dict)
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    html: str = ""
    chat: str = ""
    images: tuple[Image, ...] = ()

    def __post_init__(self) -> None:
        if not self.title.strip() or not self.dedupe_key.strip():
            raise BadInputError(f"a message needs a title and a dedupe_key, got {self.title!r} and {self.dedupe_key!r}")
        if self.created_at.tzinfo is None:
            raise BadInputError(f"the time of message {self.title!r:.80} must carry a zone")
        try:
            severity = Severity(self.severity)
        except ValueError:
            known = ", ".join(Severity)
            raise BadInputError(f"message {self.title!r:.80} has severity {self.severity!r}; known: {known}") from None
        clean = {
            "severity": severity,
            "title": scrub(" ".join(self.title.split())),
            "body": _cut(scrub(self.body)),  # scrubbed first: half a secret is not recognised
            "fields": {str(name): _clean_value(str(name), value) for name, value in self.fields.items()},
            "created_at": self.created_at.astimezone(UTC),
            "html": scrub(self.html),
            "chat": _cut(scrub(self.chat)),
        }
        if len(self.html) > MAX_HTML_CHARS or len(self.images) > MAX_IMAGES:
            raise BadInputError(
                f"message {self.title!r:.80} has {len(self.html)} characters of HTML and {len(self.images)} images; "
                f"at most {MAX_HTML_CHARS} and {MAX_IMAGES}"
            )
        for name, value in clean.items():
            object.__setattr__(self, name, value)

    def to_dict(self) -> dict[str, Any]:
        """Return the stored form (`created_at` stays a datetime)."""
        return {
            "severity": str(self.severity),
            "title": self.title,
            "body": self.body,
            "fields": [{"name": name, "value": value} for name, value in self.fields.items()],
            "dedupe_key": self.dedupe_key,
            "created_at": self.created_at,
            "html": self.html,
            "chat": self.chat,
            "images": [{"name": image.name, "png": image.png, "alt": image.alt} for image in self.images],
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Message:
        """Read the stored form; keys that are not the message's own are ignored."""
        return cls(
            severity=Severity(stored["severity"]),
            title=stored["title"],
            body=stored["body"],
            fields={pair["name"]: pair["value"] for pair in stored["fields"]},
            dedupe_key=stored["dedupe_key"],
            created_at=stored["created_at"],
            html=stored.get("html", ""),
            chat=stored.get("chat", ""),
            images=tuple(Image(image["name"], bytes(image["png"]), image["alt"]) for image in stored.get("images", ())),
        )


def _cut(body: str, limit: int = MAX_BODY_CHARS) -> str:
    if len(body) <= limit:
        return body
    kept = limit - 50  # room for the note, so that a stored message is not cut again
    return f"{body[:kept]}… ({len(body) - kept} more characters)"


def _clean_value(name: str, value: object) -> str:
    return MASK if is_sensitive_name(name) else _cut(scrub(str(value)), MAX_VALUE_CHARS)
